//! Deadlines of workers.

use std::time::{Duration, Instant};

use super::slot::{DrainingWorker, Slot, SlotState, StopReason, Worker};
use super::{Action, Fleet, Key, LastLinesOf, WorkerExit};
use crate::event::SupervisorEvent;
use crate::exit::Exit;

/// The time after a pause in which no deadline is acted upon. Notifications and exits of workers that
/// arrived during the pause are handled first.
const SETTLE: Duration = Duration::from_millis(250);

/// The shortest pause that is reported: a busy machine has many shorter ones.
const REPORTED_PAUSE: Duration = Duration::from_secs(1);

/// The maximal number of draining workers of a slot that announced their stop or were not ready in time.
/// At this number the slot starts no other one: workers that stop at once and drain slowly would pile up.
const MAX_DRAINING: usize = 2;

impl Fleet {
    /// Tells the time, before each event and at each [`next_wakeup`](Self::next_wakeup). Pauses of the
    /// supervisor, in which it should have run and did not, are left out.
    pub(crate) fn advance_clock(&mut self, system_now: Instant) {
        let pause = self.clock.read(system_now, self.is_time_awaited());
        if !pause.is_zero() {
            self.settles_at.get_or_insert(self.clock.now() + SETTLE);
        }
        if pause >= REPORTED_PAUSE {
            self.report(SupervisorEvent::Paused { duration: pause });
        }
    }

    /// Acts on all deadlines that are over.
    pub(crate) fn tick(&mut self, last_lines_of: LastLinesOf<'_>) {
        let now = self.now();
        if self.settles_at.is_some_and(|at| now < at) {
            return;
        }
        self.settles_at = None;
        for index in 0..self.slots.len() {
            self.check_slot(index, last_lines_of);
        }
        self.check_new_workers(last_lines_of);
        for index in 0..self.draining.len() {
            if self.draining[index].is_overdue(now) {
                self.kill_draining(index, Some(self.policy.stop_timeout));
            }
        }
    }

    /// Returns when to call [`tick`](Self::tick) next, by the system's clock.
    pub(crate) fn next_wakeup(&self) -> Option<Instant> {
        let deadline = self.deadline().map(|it| self.clock.real(it));
        let reading = self.is_time_awaited().then(|| self.clock.next_reading());
        deadline.into_iter().chain(reading).min()
    }

    /// Returns the next time at which there is something to decide.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next_due()
            .map(|due| self.settles_at.map_or(due, |at| due.max(at)))
    }

    /// Returns whether a pause would have to be noticed: there is a deadline, or deaths are remembered
    /// for a while.
    fn is_time_awaited(&self) -> bool {
        let (within, now) = (self.policy.crash_loop.within, self.now());
        let remembers = |slot: &Slot| slot.remembers(within, &self.policy.backoff, now);
        self.next_due().is_some() || self.slots.iter().any(remembers)
    }

    fn next_due(&self) -> Option<Instant> {
        let slots = self.slots.iter().flat_map(|slot| {
            let workers = slot.workers();
            let deadlines = workers.filter_map(|worker| self.deadline_of(worker));
            self.restart_at(slot).into_iter().chain(deadlines)
        });
        let draining = self.draining.iter();
        slots.chain(draining.filter_map(|it| it.kill_at)).min()
    }

    /// Acts on the deadlines of one slot, except those of a new worker.
    fn check_slot(&mut self, index: usize, last_lines_of: LastLinesOf<'_>) {
        // The failure of the slot before may have stopped the fleet, which then has no slots.
        let Some(slot) = self.slots.get(index) else {
            return;
        };
        let number = slot.number;
        match &slot.state {
            SlotState::Backoff { .. }
                if self.restart_at(slot).is_some_and(|at| at <= self.now()) =>
            {
                let worker = self.start_worker(number);
                let slot = &mut self.slots[index];
                slot.restarts += 1;
                slot.state = SlotState::Occupied(worker);
            }
            SlotState::Occupied(worker) if self.has_run_long_enough(worker) => {
                let key = worker.key;
                self.ready(key);
            }
            SlotState::Occupied(worker) if self.is_late(worker) => {
                self.worker_not_ready(index, last_lines_of);
            }
            SlotState::Occupied(worker) if self.is_watchdog_expired(worker) => {
                let key = worker.key;
                self.kill_hung(key);
            }
            _ => {}
        }
    }

    /// Returns when the slot starts another worker. `None` if it has one, and while too many are
    /// draining: the exit of one of them, by the stop timeout, ends that.
    fn restart_at(&self, slot: &Slot) -> Option<Instant> {
        let is_counted = |it: &&DrainingWorker| {
            it.slot == slot.number
                && matches!(it.reason, StopReason::Announced | StopReason::NotReady)
        };
        let until = slot.state.backoff_until()?;
        (self.draining.iter().filter(is_counted).count() < MAX_DRAINING).then_some(until)
    }

    fn worker_not_ready(&mut self, index: usize, last_lines_of: LastLinesOf<'_>) {
        let slot = &mut self.slots[index];
        let Some(worker) = slot.state.take_worker() else {
            return;
        };
        let number = slot.number;
        self.report_not_ready(number, worker.pid);
        let exit = WorkerExit {
            exit: Exit::NotReady,
            last_lines: last_lines_of(worker.key),
        };
        self.stop_worker(number, worker, StopReason::NotReady);
        self.slots[index].last_exit = Some(exit.exit.clone());
        self.died(index, Duration::ZERO, &exit);
    }

    pub(super) fn report_not_ready(&mut self, slot: usize, pid: Option<u32>) {
        self.report(SupervisorEvent::NotReady {
            slot,
            pid,
            timeout: self.policy.ready_timeout,
            missing: self.policy.ready_when.missing(),
        });
    }

    pub(super) fn kill_hung(&mut self, key: Key) {
        let (Some(timeout), Some((slot, worker))) = (self.policy.watchdog, self.find(key)) else {
            return;
        };
        worker.is_killed = true;
        let pid = worker.pid;
        self.actions.push(Action::Kill(key));
        self.report(SupervisorEvent::WatchdogTimeout { slot, pid, timeout });
    }

    pub(super) fn has_run_long_enough(&self, worker: &Worker) -> bool {
        let uptime = self.now() - worker.started_at;
        let after = self.policy.ready_when.after();
        let is_long_enough = after.is_some_and(|after| uptime >= after);
        worker.ready_since.is_none() && worker.pid.is_some() && is_long_enough
    }

    pub(super) fn is_late(&self, worker: &Worker) -> bool {
        worker.ready_since.is_none() && self.now() - worker.started_at >= self.ready_timeout()
    }

    /// Returns the ready timeout, after the uptime that makes a worker ready if that is the condition.
    fn ready_timeout(&self) -> Duration {
        let after = self.policy.ready_when.after().unwrap_or_default();
        self.policy.ready_timeout.saturating_add(after)
    }

    pub(super) fn is_watchdog_expired(&self, worker: &Worker) -> bool {
        let silence = self.now() - worker.last_notified;
        let is_too_long = self.policy.watchdog.is_some_and(|max| silence >= max);
        worker.ready_since.is_some() && !worker.is_killed && is_too_long
    }

    fn deadline_of(&self, worker: &Worker) -> Option<Instant> {
        if worker.ready_since.is_none() {
            let after = self.policy.ready_when.after();
            let ready = after.filter(|_| worker.pid.is_some());
            return Some(worker.started_at + ready.unwrap_or(self.ready_timeout()));
        }
        let watchdog = self.policy.watchdog.filter(|_| !worker.is_killed)?;
        Some(worker.last_notified + watchdog)
    }
}
