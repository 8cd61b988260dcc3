//! Deaths and ends.

use std::time::{Duration, Instant};

use super::slot::{Draining, Leaving, Seat, Slot, Worker};
use super::{Action, CrashLoop, Ended, Ending, Fleet, Key};
use crate::event::SupervisorEvent;
use crate::exit::Exit;

impl Fleet {
    /// Everybody is to end.
    pub(crate) fn end(&mut self, now: Instant) {
        if self.ending.is_none() {
            self.report(SupervisorEvent::Stopping);
            self.end_as(false, now);
        }
    }

    /// Everybody is to end at once.
    pub(crate) fn kill(&mut self, now: Instant) {
        self.end(now);
        for index in 0..self.draining.len() {
            self.kill_draining(index, None);
        }
    }

    /// A worker is gone.
    pub(crate) fn exited(&mut self, key: Key, ended: &Ended, now: Instant) {
        if let Some(index) = self.draining.iter().position(|it| it.worker.key == key) {
            let left = self.draining.swap_remove(index);
            self.left(&left, &ended.exit, now);
            self.advance(now);
            return;
        }
        let Some(index) = self.slots.iter().position(|slot| slot.has(key)) else {
            return;
        };
        let slot = &mut self.slots[index];
        let number = slot.number;
        if let Some(worker) = slot.successor.take_if(|worker| worker.key == key) {
            self.say_exited(number, &worker, &ended.exit, false, now);
            self.successor_died(number, ended, now);
        } else if let Some(worker) = slot.seat.vacate(now) {
            slot.last_exit = Some(ended.exit.clone());
            let served = worker.served(now);
            self.say_exited(number, &worker, &ended.exit, false, now);
            self.died(index, served, ended, now);
        }
    }

    /// A worker that served says that it ends: it has the grace to do so, and its slot gets another. It
    /// is no death, but a wait, so that a program that always does this is started no more often.
    pub(super) fn stopping(&mut self, key: Key, now: Instant) {
        // Of one that was never ready, and of a successor, the end is what counts.
        let is_meant = |slot: &Slot| slot.seat.has(key) && slot.seat.is_ready();
        let Some(index) = self.slots.iter().position(is_meant) else {
            return;
        };
        let slot = &mut self.slots[index];
        let Some(worker) = slot.seat.vacate(now) else {
            return;
        };
        let (number, pid) = (slot.number, worker.pid);
        self.forget_deaths_before(index, worker.served(now));
        self.report(SupervisorEvent::StopAnnounced { slot: number, pid });
        self.drain(number, worker, Leaving::ByItself, now);
        self.wait_for_next(index, 0, now);
    }

    /// A worker is gone that was not to stay.
    fn left(&mut self, left: &Draining, exit: &Exit, now: Instant) {
        let Draining { slot, worker, .. } = left;
        let expected = left.leaving != Leaving::ByItself || *exit == Exit::Status(0);
        if let Some(slot) = self.slots.get_mut(*slot).filter(|_| !expected) {
            slot.last_exit = Some(exit.clone());
        }
        self.say_exited(*slot, worker, exit, expected, now);
    }

    /// A seat has lost its worker, which was not told to end.
    pub(super) fn died(&mut self, index: usize, served: Duration, ended: &Ended, now: Instant) {
        let CrashLoop { deaths, within } = self.policy.crash_loop;
        self.forget_deaths_before(index, served);
        let slot = &mut self.slots[index];
        let number = slot.number;
        if slot.count_death(within, now) >= deaths {
            slot.seat = Seat::GivenUp;
            self.report(SupervisorEvent::SlotFailed {
                slot: number,
                is_last: self.is_nobody_left(),
                deaths,
                within,
                exit: ended.exit.clone(),
                last_lines: ended.last_lines.clone(),
            });
            self.give_up_if_all_did(now);
            return;
        }
        let failures = slot.failures;
        slot.failures = failures.saturating_add(1);
        self.wait_for_next(index, failures, now);
    }

    fn forget_deaths_before(&mut self, index: usize, served: Duration) {
        if self.policy.backoff.forgets_after(served) {
            self.slots[index].failures = 0;
        }
    }

    /// The seat is empty for as long as it is after so many deaths.
    fn wait_for_next(&mut self, index: usize, failures: u32, now: Instant) {
        let delay = self.policy.backoff.delay(failures, (self.chance)());
        let slot = &mut self.slots[index];
        slot.seat = Seat::Waiting { until: now + delay };
        let slot = slot.number;
        self.report(SupervisorEvent::Restarting { slot, delay });
    }

    fn is_nobody_left(&self) -> bool {
        let has_given_up = |slot: &Slot| matches!(slot.seat, Seat::GivenUp);
        self.ending.is_none() && !self.is_reloading() && self.slots.iter().all(has_given_up)
    }

    pub(super) fn give_up_if_all_did(&mut self, now: Instant) {
        if self.is_nobody_left() {
            self.report(SupervisorEvent::AllSlotsFailed);
            self.end_as(true, now);
        }
    }

    fn end_as(&mut self, all_failed: bool, now: Instant) {
        self.ending = Some(Ending {
            killed: 0,
            all_failed,
        });
        for mut slot in std::mem::take(&mut self.slots) {
            self.clear(&mut slot, now);
        }
        self.end_reloads();
    }

    /// Nobody is to run in this slot.
    pub(super) fn clear(&mut self, slot: &mut Slot, now: Instant) {
        let leaving = slot
            .successor
            .take()
            .into_iter()
            .chain(slot.seat.vacate(now));
        for worker in leaving {
            self.dismiss(slot.number, worker, Leaving::Told, now);
        }
    }

    /// Tells a worker to end.
    pub(super) fn dismiss(&mut self, slot: usize, worker: Worker, leaving: Leaving, now: Instant) {
        self.actions.push(Action::Terminate(worker.key));
        self.report(SupervisorEvent::Draining {
            slot,
            pid: worker.pid,
        });
        self.drain(slot, worker, leaving, now);
    }

    /// Waits for the end of a worker.
    fn drain(&mut self, slot: usize, worker: Worker, leaving: Leaving, now: Instant) {
        let kill_at = Some(now + self.policy.stop_timeout);
        self.draining.push(Draining {
            slot,
            worker,
            leaving,
            kill_at,
        });
    }

    pub(super) fn kill_draining(&mut self, index: usize, stop_timeout: Option<Duration>) {
        let draining = &mut self.draining[index];
        if draining.kill_at.take().is_none() {
            return;
        }
        let (slot, worker) = (draining.slot, &draining.worker);
        let (key, pid) = (worker.key, worker.pid);
        if let Some(ending) = &mut self.ending {
            ending.killed += 1;
        }
        self.actions.push(Action::Kill(key));
        self.report(SupervisorEvent::Killed {
            slot,
            pid,
            stop_timeout,
        });
    }

    fn say_exited(
        &mut self,
        slot: usize,
        worker: &Worker,
        exit: &Exit,
        expected: bool,
        now: Instant,
    ) {
        self.report(SupervisorEvent::Exited {
            slot,
            pid: worker.pid,
            exit: exit.clone(),
            uptime: self.clock.real(now) - worker.born,
            is_expected: expected,
        });
    }
}
