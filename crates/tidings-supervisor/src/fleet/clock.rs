//! What the clock says of workers.

use std::time::{Duration, Instant};

use super::slot::{Draining, Leaving, Seat, Slot, Worker};
use super::{Action, Ended, Fleet, Key, Wrote};
use crate::event::SupervisorEvent;
use crate::exit::Exit;

/// For so long after a pause no deadline is acted upon: what workers said in the meantime, and that
/// they ended, waits in their sockets and is handled first.
const SETTLE: Duration = Duration::from_millis(250);

/// Shorter pauses are not reported: a busy machine has many of them.
const WORTH_TELLING: Duration = Duration::from_secs(1);

impl Fleet {
    /// The supervisor goes on: something happened, or it is time to look at the clock. Returns the time
    /// without the pauses of the supervisor, by which it would have been due to go on earlier.
    pub(crate) fn wakes(&mut self, now: Instant) -> Instant {
        let pause = self.clock.read(now, self.is_time_awaited());
        let now = self.clock.now();
        if !pause.is_zero() {
            self.settles_at.get_or_insert(now + SETTLE);
        }
        if pause >= WORTH_TELLING {
            self.report(SupervisorEvent::Paused { duration: pause });
        }
        now
    }

    /// Looks at the clock.
    pub(crate) fn tick(&mut self, now: Instant, wrote: Wrote<'_>) {
        if self.settles_at.is_some_and(|at| now < at) {
            return;
        }
        self.settles_at = None;
        for index in 0..self.slots.len() {
            self.look_at(index, now, wrote);
        }
        self.look_at_successors(now, wrote);
        for index in 0..self.draining.len() {
            if self.draining[index].is_overdue(now) {
                self.kill_draining(index, Some(self.policy.stop_timeout));
            }
        }
    }

    /// When to look at the clock next, by the system's clock.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        let deadline = self.deadline().map(|it| self.clock.real(it));
        let beat = self.is_time_awaited().then(|| self.clock.next_beat());
        deadline.into_iter().chain(beat).min()
    }

    /// When there is something to decide.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due()
            .map(|due| self.settles_at.map_or(due, |at| due.max(at)))
    }

    /// A pause would have to be noticed: there is a deadline, or deaths are remembered for a while.
    fn is_time_awaited(&self) -> bool {
        let (within, now) = (self.policy.crash_loop.within, self.clock.now());
        let remembers = |slot: &Slot| slot.remembers(within, &self.policy.backoff, now);
        self.due().is_some() || self.slots.iter().any(remembers)
    }

    fn due(&self) -> Option<Instant> {
        let slots = self.slots.iter().flat_map(|slot| {
            let waits = slot.seat.until();
            let workers = slot.workers();
            waits
                .into_iter()
                .chain(workers.filter_map(|worker| self.deadline_of(worker)))
        });
        let draining = self.draining.iter();
        slots.chain(draining.filter_map(Draining::deadline)).min()
    }

    /// What the clock says of one slot, successors aside.
    fn look_at(&mut self, index: usize, now: Instant, wrote: Wrote<'_>) {
        // The one before may have been the last that was not given up: then all are gone.
        let Some(slot) = self.slots.get(index) else {
            return;
        };
        let number = slot.number;
        match &slot.seat {
            Seat::Waiting { until } if *until <= now => {
                let worker = self.start(number, now);
                let slot = &mut self.slots[index];
                slot.restarts += 1;
                slot.seat = Seat::Taken(worker);
            }
            Seat::Taken(worker) if self.is_ready_by_now(worker, now) => {
                let key = worker.key;
                self.ready(key, now);
            }
            Seat::Taken(worker) if self.is_late(worker, now) => self.not_ready(index, now, wrote),
            Seat::Taken(worker) if self.is_silent(worker, now) => {
                let key = worker.key;
                self.silent(key);
            }
            _ => {}
        }
    }

    fn not_ready(&mut self, index: usize, now: Instant, wrote: Wrote<'_>) {
        let timeout = self.policy.ready_timeout;
        let slot = &mut self.slots[index];
        let Some(worker) = slot.seat.vacate(now) else {
            return;
        };
        let (number, pid) = (slot.number, worker.pid);
        self.report(SupervisorEvent::NotReady {
            slot: number,
            pid,
            timeout,
            missing: self.policy.ready_when.missing(),
        });
        let ended = Ended {
            exit: Exit::NotReady,
            last_lines: wrote(worker.key),
        };
        self.dismiss(number, worker, Leaving::Told, now);
        self.slots[index].last_exit = Some(ended.exit.clone());
        self.died(index, Duration::ZERO, &ended, now);
    }

    pub(super) fn silent(&mut self, key: Key) {
        let (Some(timeout), Some((slot, worker))) = (self.policy.watchdog, self.find(key)) else {
            return;
        };
        worker.is_killed = true;
        let pid = worker.pid;
        self.actions.push(Action::Kill(key));
        self.report(SupervisorEvent::WatchdogTimeout { slot, pid, timeout });
    }

    pub(super) fn is_ready_by_now(&self, worker: &Worker, now: Instant) -> bool {
        let lived = now - worker.since;
        let after = self.policy.ready_when.after();
        let has_lived = after.is_some_and(|after| lived >= after);
        worker.ready.is_none() && worker.pid.is_some() && has_lived
    }

    pub(super) fn is_late(&self, worker: &Worker, now: Instant) -> bool {
        worker.ready.is_none() && now - worker.since >= self.patience()
    }

    /// How long a worker may take to get ready. One that only has to live takes that time anyhow.
    fn patience(&self) -> Duration {
        let after = self.policy.ready_when.after().unwrap_or_default();
        self.policy.ready_timeout.saturating_add(after)
    }

    pub(super) fn is_silent(&self, worker: &Worker, now: Instant) -> bool {
        let silence = now - worker.heard;
        let is_too_long = self.policy.watchdog.is_some_and(|most| silence >= most);
        worker.ready.is_some() && !worker.is_killed && is_too_long
    }

    fn deadline_of(&self, worker: &Worker) -> Option<Instant> {
        if worker.ready.is_none() {
            let ready = self
                .policy
                .ready_when
                .after()
                .filter(|_| worker.pid.is_some());
            return Some(worker.since + ready.unwrap_or(self.patience()));
        }
        let watchdog = self.policy.watchdog.filter(|_| !worker.is_killed)?;
        Some(worker.heard + watchdog)
    }
}
