//! Exits of workers, and the end of the fleet.

use std::time::Duration;

use super::slot::{DrainingWorker, Slot, SlotState, StopReason, Worker};
use super::{Action, CrashLoop, Fleet, Key, WorkerExit};
use crate::event::SupervisorEvent;
use crate::exit::Exit;
use crate::status::Stopped;

impl Fleet {
    /// Stops all workers.
    pub(crate) fn stop(&mut self) {
        if self.stopping.is_none() {
            self.report(SupervisorEvent::Stopping);
            self.begin_stop(false);
        }
    }

    /// Kills all workers.
    pub(crate) fn kill(&mut self) {
        self.stop();
        for index in 0..self.draining.len() {
            self.kill_draining(index, None);
        }
    }

    /// Records that a worker has exited.
    pub(crate) fn exited(&mut self, key: Key, exit: &WorkerExit) {
        let now = self.now();
        if let Some(index) = self.draining.iter().position(|it| it.worker.key == key) {
            let drained = self.draining.swap_remove(index);
            self.drained(&drained, &exit.exit);
            self.advance();
            return;
        }
        let Some(index) = self.slots.iter().position(|slot| slot.has(key)) else {
            return;
        };
        let slot = &mut self.slots[index];
        let number = slot.number;
        if let Some(worker) = slot.new_worker.take_if(|worker| worker.key == key) {
            self.report_exited(number, &worker, &exit.exit, false);
            self.new_worker_died(number, exit);
        } else if let Some(worker) = slot.state.take_worker() {
            slot.last_exit = Some(exit.exit.clone());
            self.report_exited(number, &worker, &exit.exit, false);
            self.died(index, worker.ready_for(now), exit);
        }
    }

    /// Drains a ready worker that announced that it stops. That is no death, but its slot waits before
    /// the next one, so that a program that always stops is not started all the time.
    pub(super) fn stop_announced(&mut self, key: Key) {
        // For other workers the exit counts, not the announcement.
        let is_meant = |slot: &Slot| slot.state.has(key) && slot.state.is_ready();
        let Some(index) = self.slots.iter().position(is_meant) else {
            return;
        };
        let slot = &mut self.slots[index];
        let Some(worker) = slot.state.take_worker() else {
            return;
        };
        let (number, pid) = (slot.number, worker.pid);
        self.reset_backoff_after(index, worker.ready_for(self.now()));
        self.report(SupervisorEvent::StopAnnounced { slot: number, pid });
        self.drain(number, worker, StopReason::Announced);
        self.back_off(index, 0);
    }

    fn drained(&mut self, drained: &DrainingWorker, exit: &Exit) {
        let DrainingWorker {
            slot,
            worker,
            reason,
            ..
        } = drained;
        let is_expected = *reason != StopReason::Announced || *exit == Exit::Status(0);
        if let Some(slot) = self.slots.get_mut(*slot).filter(|_| !is_expected) {
            slot.last_exit = Some(exit.clone());
        }
        self.report_exited(*slot, worker, exit, is_expected);
    }

    /// Handles the death of a slot's worker, which was ready for this long.
    pub(super) fn died(&mut self, index: usize, ready_for: Duration, exit: &WorkerExit) {
        let CrashLoop { deaths, within } = self.policy.crash_loop;
        self.reset_backoff_after(index, ready_for);
        let now = self.now();
        let slot = &mut self.slots[index];
        let number = slot.number;
        if slot.count_death(within, now) >= deaths {
            slot.state = SlotState::Failed;
            self.report(SupervisorEvent::SlotFailed {
                slot: number,
                is_last: self.have_all_failed(),
                deaths,
                within,
                exit: exit.exit.clone(),
                last_lines: exit.last_lines.clone(),
            });
            self.stop_if_all_failed();
            return;
        }
        let failures = slot.failures;
        slot.failures = failures.saturating_add(1);
        self.back_off(index, failures);
    }

    fn reset_backoff_after(&mut self, index: usize, ready_for: Duration) {
        if self.policy.backoff.is_reset_after(ready_for) {
            self.slots[index].failures = 0;
        }
    }

    /// Starts the delay after this many deaths in a row.
    fn back_off(&mut self, index: usize, failures: u32) {
        let delay = self.policy.backoff.delay(failures, (self.random)());
        let until = self.now() + delay;
        let slot = &mut self.slots[index];
        slot.state = SlotState::Backoff { until };
        let slot = slot.number;
        self.report(SupervisorEvent::Restarting { slot, delay });
    }

    fn have_all_failed(&self) -> bool {
        let has_failed = |slot: &Slot| matches!(slot.state, SlotState::Failed);
        self.stopping.is_none() && !self.is_reloading() && self.slots.iter().all(has_failed)
    }

    pub(super) fn stop_if_all_failed(&mut self) {
        if self.have_all_failed() {
            self.report(SupervisorEvent::AllSlotsFailed);
            self.begin_stop(true);
        }
    }

    fn begin_stop(&mut self, all_failed: bool) {
        let killed = 0;
        self.stopping = Some(Stopped { killed, all_failed });
        for mut slot in std::mem::take(&mut self.slots) {
            self.clear(&mut slot);
        }
        self.fail_all_reloads();
    }

    /// Stops all workers of a slot.
    pub(super) fn clear(&mut self, slot: &mut Slot) {
        let new_worker = slot.new_worker.take();
        for worker in new_worker.into_iter().chain(slot.state.take_worker()) {
            self.stop_worker(slot.number, worker, StopReason::Told);
        }
    }

    pub(super) fn stop_worker(&mut self, slot: usize, worker: Worker, reason: StopReason) {
        self.actions.push(Action::Terminate(worker.key));
        self.report(SupervisorEvent::Draining {
            slot,
            pid: worker.pid,
        });
        self.drain(slot, worker, reason);
    }

    fn drain(&mut self, slot: usize, worker: Worker, reason: StopReason) {
        let kill_at = Some(self.now() + self.policy.stop_timeout);
        self.draining.push(DrainingWorker {
            slot,
            worker,
            reason,
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
        if let Some(stopping) = &mut self.stopping {
            stopping.killed += 1;
        }
        self.actions.push(Action::Kill(key));
        self.report(SupervisorEvent::Killed {
            slot,
            pid,
            stop_timeout,
        });
    }

    fn report_exited(&mut self, slot: usize, worker: &Worker, exit: &Exit, is_expected: bool) {
        self.report(SupervisorEvent::Exited {
            slot,
            pid: worker.pid,
            exit: exit.clone(),
            uptime: self.clock.real_now() - worker.really_started_at,
            is_expected,
        });
    }
}
