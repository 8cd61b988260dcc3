//! Decides what to do with the workers. The fleet does no I/O and reads no clock: it is told the time and
//! all events, and [`Fleet::actions`] returns what to do.

mod action;
mod clock;
mod deaths;
mod policy;
mod reload;
mod slot;

#[cfg(test)]
mod tests;

use std::time::Instant;

pub(crate) use self::action::{Action, Key, LastLinesOf, ReloadStart, Ticket, WorkerExit};
pub use self::action::{ReloadStrategy, Reloaded};
pub(crate) use self::policy::{CrashLoop, MAX_WORKERS, Policy};
use self::reload::Reloads;
use self::slot::{DrainingWorker, Slot, Worker};
use crate::awake::Clock;
use crate::error::ScaleError;
use crate::event::SupervisorEvent;
use crate::notify::Notification;
use crate::status::{Stopped, WorkerState, WorkerStatus};

#[derive(Debug)]
pub(crate) struct Fleet {
    policy: Policy,
    slots: Vec<Slot>,
    draining: Vec<DrainingWorker>,
    reloads: Reloads,
    /// The result so far of a stop that has begun.
    stopping: Option<Stopped>,
    were_all_ready: bool,
    is_stop_reported: bool,
    next_key: u64,
    actions: Vec<Action>,
    clock: Clock,
    /// After a pause: the time until which no deadline is acted upon.
    settles_at: Option<Instant>,
    /// Returns a random number between 0 and 1.
    random: fn() -> f64,
}

impl Fleet {
    /// Starts all workers.
    pub(crate) fn start(policy: Policy, random: fn() -> f64, now: Instant) -> Self {
        let workers = policy.workers;
        let mut fleet = Self {
            policy: policy.bounded(),
            slots: Vec::new(),
            draining: Vec::new(),
            reloads: Reloads::default(),
            stopping: None,
            were_all_ready: false,
            is_stop_reported: false,
            next_key: 0,
            actions: Vec::new(),
            clock: Clock::start(now),
            settles_at: None,
            random,
        };
        fleet.grow(workers);
        fleet
    }

    /// Returns the actions that were decided since the last call, in this order.
    pub(crate) fn actions(&mut self) -> Vec<Action> {
        self.report_totals();
        std::mem::take(&mut self.actions)
    }

    fn report_totals(&mut self) {
        let are_ready = self.are_all_ready();
        let were_ready = std::mem::replace(&mut self.were_all_ready, are_ready);
        if are_ready && !were_ready {
            self.report(SupervisorEvent::AllReady);
        }
        if let Some(Stopped { killed, all_failed }) = self.stopped()
            && !std::mem::replace(&mut self.is_stop_reported, true)
        {
            self.report(SupervisorEvent::Stopped { killed, all_failed });
        }
    }

    /// Returns the result of the stop once the last worker has exited.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        self.stopping.filter(|_| self.draining.is_empty())
    }

    /// Records that the process of a worker was started.
    pub(crate) fn started(&mut self, key: Key, pid: u32) {
        let Some((slot, worker)) = self.find(key) else {
            return;
        };
        worker.pid = Some(pid);
        self.report(SupervisorEvent::Started { slot, pid });
    }

    pub(crate) fn notified(&mut self, key: Key, notification: Notification) {
        let now = self.now();
        match notification {
            Notification::Ready => self.ready(key),
            Notification::Watchdog => {
                if let Some((_, worker)) = self.find(key) {
                    worker.last_notified = now;
                }
            }
            Notification::Stopping => self.stop_announced(key),
        }
    }

    fn ready(&mut self, key: Key) {
        let now = self.now();
        let Some((slot, worker)) =
            workers_of(&mut self.slots).find(|(_, worker)| worker.key == key)
        else {
            return;
        };
        worker.last_notified = now;
        if worker.ready_since.is_some() {
            return;
        }
        worker.ready_since = Some(now);
        let after = now - worker.started_at;
        if let Some(pid) = worker.pid {
            self.report(SupervisorEvent::Ready { slot, pid, after });
            self.advance();
        }
    }

    /// Changes the number of workers, and returns the number before.
    pub(crate) fn scale(&mut self, workers: usize) -> Result<usize, ScaleError> {
        if !(1..=MAX_WORKERS).contains(&workers) {
            return Err(ScaleError::WorkerCount(workers));
        }
        if self.stopping.is_some() {
            return Err(ScaleError::Stopping);
        }
        let from = self.slots.len();
        if from != workers {
            self.report(SupervisorEvent::Scaled { from, to: workers });
        }
        self.grow(workers);
        for mut slot in self.slots.split_off(workers) {
            self.clear(&mut slot);
        }
        self.advance();
        self.stop_if_all_failed();
        Ok(from)
    }

    /// Returns all workers in the order of their slots, with uptimes by the system's clock.
    pub(crate) fn status(&self) -> Vec<WorkerStatus> {
        let now = self.clock.real_now();
        let slots = self.slots.iter();
        let mut workers: Vec<_> = slots.flat_map(|slot| slot.status(now)).collect();
        workers.extend(self.draining.iter().map(|it| WorkerStatus {
            slot: it.slot,
            pid: it.worker.pid,
            state: WorkerState::Draining,
            uptime: now - it.worker.really_started_at,
            restarts: self.slots.get(it.slot).map_or(0, |slot| slot.restarts),
            last_exit: None,
        }));
        workers.sort_by_key(|worker| worker.slot);
        workers
    }

    pub(crate) fn are_all_ready(&self) -> bool {
        self.stopping.is_none() && self.slots.iter().all(|slot| slot.state.is_ready())
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_reloading(&self) -> bool {
        self.reloads.is_running()
    }

    /// Returns the time without pauses of the supervisor.
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn find(&mut self, key: Key) -> Option<(usize, &mut Worker)> {
        let draining = self.draining.iter_mut();
        let draining = draining.map(|it| (it.slot, &mut it.worker));
        let mut all = workers_of(&mut self.slots).chain(draining);
        all.find(|(_, worker)| worker.key == key)
    }

    fn grow(&mut self, workers: usize) {
        for number in self.slots.len()..workers {
            let worker = self.start_worker(number);
            self.slots.push(Slot::new(number, worker));
        }
    }

    fn start_worker(&mut self, slot: usize) -> Worker {
        let key = Key(self.next_key);
        self.next_key += 1;
        self.actions.push(Action::Start { worker: key, slot });
        Worker::new(key, self.now(), self.clock.real_now())
    }

    fn report(&mut self, event: SupervisorEvent) {
        self.actions.push(Action::Report(event));
    }
}

/// Returns the workers of all slots, each with the number of its slot.
fn workers_of(slots: &mut [Slot]) -> impl Iterator<Item = (usize, &mut Worker)> {
    slots.iter_mut().flat_map(|slot| {
        let number = slot.number;
        slot.workers_mut().map(move |worker| (number, worker))
    })
}
