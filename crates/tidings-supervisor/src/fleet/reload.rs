//! Reloads: new workers replace old ones, all at once or one after the other.

use std::collections::VecDeque;
use std::time::Instant;

use super::slot::StopReason;
use super::{
    Action, Fleet, LastLinesOf, ReloadStart, ReloadStrategy, Reloaded, Ticket, WorkerExit,
};
use crate::error::ReloadError;
use crate::event::SupervisorEvent;

#[derive(Debug, Default)]
pub(super) struct Reloads {
    running: Option<Running>,
    queued: Option<(ReloadStrategy, Vec<Ticket>)>,
}

#[derive(Debug)]
struct Running {
    strategy: ReloadStrategy,
    tickets: Vec<Ticket>,
    started_at: Instant,
    /// Slots whose new worker is not started yet.
    pending: VecDeque<usize>,
    replaced: usize,
}

impl Reloads {
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }
}

impl Fleet {
    /// Replaces all workers.
    pub(crate) fn reload(&mut self, strategy: ReloadStrategy, ticket: Ticket) -> ReloadStart {
        if self.stopping.is_some() {
            let stopping = Err(ReloadError::Stopping);
            self.actions.push(Action::Respond(vec![ticket], stopping));
            return ReloadStart::Started;
        }
        if self.reloads.is_running() {
            let queued = self.reloads.queued.get_or_insert((strategy, Vec::new()));
            // It is the stronger promise: nothing changes if it fails.
            if strategy == ReloadStrategy::AllAtOnce {
                queued.0 = strategy;
            }
            queued.1.push(ticket);
            self.report(SupervisorEvent::ReloadQueued);
            return ReloadStart::Queued;
        }
        self.start_reload(strategy, vec![ticket]);
        ReloadStart::Started
    }

    fn start_reload(&mut self, strategy: ReloadStrategy, tickets: Vec<Ticket>) {
        let workers = self.slots.len();
        self.report(SupervisorEvent::Reloading { workers });
        self.reloads.running = Some(Running {
            strategy,
            tickets,
            started_at: self.now(),
            pending: (0..workers).collect(),
            replaced: 0,
        });
        self.advance();
    }

    /// Continues the running reload, unless it waits for a new worker.
    pub(super) fn advance(&mut self) {
        let mut new_workers = self
            .slots
            .iter()
            .filter_map(|slot| slot.new_worker.as_ref());
        if !self.reloads.is_running() || new_workers.any(|it| it.ready_since.is_none()) {
            return;
        }
        self.promote_all();
        let Some(batch) = self.next_batch() else {
            return self.finish_reload();
        };
        for number in batch {
            let worker = self.start_worker(number);
            self.slots[number].new_worker = Some(worker);
        }
    }

    fn promote_all(&mut self) {
        for index in 0..self.slots.len() {
            if self.slots[index].new_worker.is_none() {
                continue;
            }
            if let Some(running) = &mut self.reloads.running {
                running.replaced += 1;
            }
            if let Some(old_worker) = self.slots[index].promote() {
                self.stop_worker(index, old_worker, StopReason::Reload);
            }
        }
    }

    /// Returns the slots whose new workers to start now, or `None` if none is left. The batch is empty
    /// while a rolling reload waits for the exit of an old worker.
    fn next_batch(&mut self) -> Option<Vec<usize>> {
        let mut reasons = self.draining.iter().map(|it| it.reason);
        let is_old_worker_left = reasons.any(|reason| reason == StopReason::Reload);
        let running = self.reloads.running.as_mut()?;
        // Slots may be gone since the begin of the reload.
        running.pending.retain(|number| *number < self.slots.len());
        if running.pending.is_empty() {
            return None;
        }
        let batch = match running.strategy {
            ReloadStrategy::AllAtOnce => running.pending.len(),
            ReloadStrategy::Rolling => usize::from(!is_old_worker_left),
        };
        Some(running.pending.drain(..batch).collect())
    }

    fn finish_reload(&mut self) {
        let Some(running) = self.reloads.running.take() else {
            return;
        };
        let (workers, took) = (running.replaced, self.now() - running.started_at);
        self.report(SupervisorEvent::Reloaded { workers, took });
        let reloaded = Reloaded {
            workers,
            strategy: running.strategy,
            took,
        };
        let respond = Action::Respond(running.tickets, Ok(reloaded));
        self.actions.push(respond);
        self.start_queued();
    }

    fn start_queued(&mut self) {
        if let Some((strategy, tickets)) = self.reloads.queued.take() {
            self.start_reload(strategy, tickets);
        } else {
            self.stop_if_all_failed();
        }
    }

    pub(super) fn new_worker_died(&mut self, slot: usize, exit: &WorkerExit) {
        let error = ReloadError::Exited {
            slot,
            exit: exit.exit.clone(),
            last_lines: exit.last_lines.clone(),
            replaced: self.replaced(),
        };
        self.fail_reload(error);
    }

    /// Acts on the deadlines of new workers.
    pub(super) fn check_new_workers(&mut self, last_lines_of: LastLinesOf<'_>) {
        for index in 0..self.slots.len() {
            // The failure of the reload may have stopped the fleet, which then has no slots.
            let Some(slot) = self.slots.get(index) else {
                return;
            };
            let Some(worker) = &slot.new_worker else {
                continue;
            };
            let (slot, key, pid) = (slot.number, worker.key, worker.pid);
            if self.has_run_long_enough(worker) {
                self.ready(key);
            } else if self.is_late(worker) {
                self.report_not_ready(slot, pid);
                let error = ReloadError::NotReady {
                    slot,
                    timeout: self.policy.ready_timeout,
                    last_lines: last_lines_of(key),
                    replaced: self.replaced(),
                };
                self.fail_reload(error);
            } else if self.is_watchdog_expired(worker) {
                self.kill_hung(key);
            }
        }
    }

    fn replaced(&self) -> usize {
        let running = self.reloads.running.as_ref();
        running.map_or(0, |running| running.replaced)
    }

    /// Stops the new workers, and keeps the old ones.
    fn fail_reload(&mut self, error: ReloadError) {
        let Some(running) = self.reloads.running.take() else {
            return;
        };
        for index in 0..self.slots.len() {
            if let Some(new_worker) = self.slots[index].new_worker.take() {
                self.stop_worker(index, new_worker, StopReason::Reload);
            }
        }
        self.report(SupervisorEvent::ReloadFailed {
            error: error.clone(),
        });
        self.actions
            .push(Action::Respond(running.tickets, Err(error)));
        self.start_queued();
    }

    pub(super) fn fail_all_reloads(&mut self) {
        let running = self.reloads.running.take().map(|running| running.tickets);
        let queued = self.reloads.queued.take().map(|(_, tickets)| tickets);
        for tickets in running.into_iter().chain(queued) {
            let stopping = Err(ReloadError::Stopping);
            self.actions.push(Action::Respond(tickets, stopping));
        }
    }
}
