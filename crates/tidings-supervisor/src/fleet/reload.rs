//! Successors take the seats of their elders: all at once, or one after the other.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::slot::Leaving;
use super::{Action, Ended, Fleet, Wrote};
use crate::error::ReloadError;
use crate::event::SupervisorEvent;

/// In which order workers are replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadStrategy {
    /// All successors start together. When all are ready all elders are told to end; when one is not,
    /// nothing has changed. For that time there are twice as many workers.
    #[default]
    AllAtOnce,
    /// One slot after the other, each when the elder of the one before is gone: for the reload there
    /// is never more than one worker too many. When a successor does not get ready, those before it
    /// stay.
    Rolling,
}

/// A reload that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reloaded {
    /// How many workers were replaced.
    pub workers: usize,
    /// In which order: those who share a reload get it all at once if one of them asked for that.
    #[serde(default)]
    pub strategy: ReloadStrategy,
    /// How long that took, without the end of the elders. In JSON, in seconds.
    #[serde(with = "crate::seconds")]
    pub took: Duration,
}

/// Who asked for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// What becomes of a wish for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    Begun,
    /// One is running: all who ask meanwhile share the one after it, all at once if anybody asked for
    /// that.
    Queued,
}

#[derive(Debug, Default)]
pub(super) struct Reloads {
    running: Option<Running>,
    queued: Option<(ReloadStrategy, Vec<Ticket>)>,
}

#[derive(Debug)]
struct Running {
    strategy: ReloadStrategy,
    tickets: Vec<Ticket>,
    began: Instant,
    /// Slots whose successor is not started yet.
    pending: VecDeque<usize>,
    replaced: usize,
}

impl Reloads {
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }
}

impl ReloadStrategy {
    /// How many successors may start, when somebody still leaves for a reload or nobody does.
    fn room(self, somebody_leaves: bool) -> usize {
        match self {
            Self::AllAtOnce => usize::MAX,
            Self::Rolling => usize::from(!somebody_leaves),
        }
    }
}

impl Fleet {
    /// Replaces all workers.
    pub(crate) fn reload(
        &mut self,
        strategy: ReloadStrategy,
        ticket: Ticket,
        now: Instant,
    ) -> Placed {
        if self.ending.is_some() {
            self.actions
                .push(Action::Answer(vec![ticket], Err(ReloadError::Stopping)));
            return Placed::Begun;
        }
        if self.reloads.is_running() {
            let queued = self.reloads.queued.get_or_insert((strategy, Vec::new()));
            // All at once is the stronger wish: it changes nothing when it fails.
            if strategy == ReloadStrategy::AllAtOnce {
                queued.0 = strategy;
            }
            queued.1.push(ticket);
            self.report(SupervisorEvent::ReloadQueued);
            return Placed::Queued;
        }
        self.start_reload(strategy, vec![ticket], now);
        Placed::Begun
    }

    fn start_reload(&mut self, strategy: ReloadStrategy, tickets: Vec<Ticket>, now: Instant) {
        let workers = self.slots.len();
        self.report(SupervisorEvent::Reloading { workers });
        self.reloads.running = Some(Running {
            strategy,
            tickets,
            began: now,
            pending: (0..workers).collect(),
            replaced: 0,
        });
        self.advance(now);
    }

    /// Goes on with the reload that is running, where nobody is waited for.
    pub(super) fn advance(&mut self, now: Instant) {
        let successors = self.slots.iter().filter_map(|slot| slot.successor.as_ref());
        if !self.reloads.is_running() || successors.clone().any(|worker| worker.ready.is_none()) {
            return;
        }
        self.promote_all(now);
        let Some(batch) = self.next_batch() else {
            return self.finish_reload(now);
        };
        for number in batch {
            let successor = self.start(number, now);
            self.slots[number].successor = Some(successor);
        }
    }

    fn promote_all(&mut self, now: Instant) {
        for index in 0..self.slots.len() {
            if self.slots[index].successor.is_none() {
                continue;
            }
            if let Some(running) = &mut self.reloads.running {
                running.replaced += 1;
            }
            if let Some(elder) = self.slots[index].promote(now) {
                self.dismiss(index, elder, Leaving::ForReload, now);
            }
        }
    }

    /// The slots that come next; none while an elder has to be gone before, and no batch when all had
    /// their turn.
    fn next_batch(&mut self) -> Option<Vec<usize>> {
        let mut leaving = self.draining.iter().map(|it| it.leaving);
        let somebody_leaves = leaving.any(|why| why == Leaving::ForReload);
        let running = self.reloads.running.as_mut()?;
        // Some may be gone: the fleet was scaled down.
        running.pending.retain(|number| *number < self.slots.len());
        if running.pending.is_empty() {
            return None;
        }
        let room = running.strategy.room(somebody_leaves);
        let batch = running.pending.len().min(room);
        Some(running.pending.drain(..batch).collect())
    }

    fn finish_reload(&mut self, now: Instant) {
        let Some(running) = self.reloads.running.take() else {
            return;
        };
        let (workers, took) = (running.replaced, now - running.began);
        let strategy = running.strategy;
        self.report(SupervisorEvent::Reloaded { workers, took });
        let done = Ok(Reloaded {
            workers,
            strategy,
            took,
        });
        self.actions.push(Action::Answer(running.tickets, done));
        self.begin_queued(now);
    }

    fn begin_queued(&mut self, now: Instant) {
        if let Some((strategy, tickets)) = self.reloads.queued.take() {
            self.start_reload(strategy, tickets, now);
        } else {
            self.give_up_if_all_did(now);
        }
    }

    pub(super) fn successor_died(&mut self, slot: usize, ended: &Ended, now: Instant) {
        let replaced = self.replaced();
        let error = ReloadError::Exited {
            slot,
            exit: ended.exit.clone(),
            last_lines: ended.last_lines.clone(),
            replaced,
        };
        self.fail_reload(error, now);
    }

    /// What the clock says of successors.
    pub(super) fn look_at_successors(&mut self, now: Instant, wrote: Wrote<'_>) {
        for index in 0..self.slots.len() {
            // When the one before made the reload fail, the whole fleet may be given up.
            let Some(slot) = self.slots.get(index) else {
                return;
            };
            let Some(worker) = &slot.successor else {
                continue;
            };
            if self.is_ready_by_now(worker, now) {
                let key = worker.key;
                self.ready(key, now);
            } else if self.is_late(worker, now) {
                let (slot, pid, last_lines) = (slot.number, worker.pid, wrote(worker.key));
                let timeout = self.policy.ready_timeout;
                let missing = self.policy.ready_when.missing();
                self.report(SupervisorEvent::NotReady {
                    slot,
                    pid,
                    timeout,
                    missing,
                });
                let replaced = self.replaced();
                let error = ReloadError::NotReady {
                    slot,
                    timeout,
                    last_lines,
                    replaced,
                };
                self.fail_reload(error, now);
            } else if self.is_silent(worker, now) {
                let key = worker.key;
                self.silent(key);
            }
        }
    }

    fn replaced(&self) -> usize {
        let running = self.reloads.running.as_ref();
        running.map_or(0, |running| running.replaced)
    }

    /// The elders stay, and the successors end.
    fn fail_reload(&mut self, error: ReloadError, now: Instant) {
        let Some(running) = self.reloads.running.take() else {
            return;
        };
        for index in 0..self.slots.len() {
            if let Some(successor) = self.slots[index].successor.take() {
                self.dismiss(index, successor, Leaving::ForReload, now);
            }
        }
        self.report(SupervisorEvent::ReloadFailed {
            error: error.clone(),
        });
        self.actions
            .push(Action::Answer(running.tickets, Err(error)));
        self.begin_queued(now);
    }

    pub(super) fn end_reloads(&mut self) {
        let running = self.reloads.running.take().map(|running| running.tickets);
        let queued = self.reloads.queued.take().map(|(_, tickets)| tickets);
        for tickets in running.into_iter().chain(queued) {
            self.actions
                .push(Action::Answer(tickets, Err(ReloadError::Stopping)));
        }
    }
}
