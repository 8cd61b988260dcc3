//! Decides what is to be done with the workers. It does nothing itself, and knows no clock: all that
//! happens is told to it, with the time, and what it wants done is in [`Fleet::actions`].

mod reload;
mod slot;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use self::reload::Reloads;
use self::slot::{Draining, Leaving, Seat, Slot, Worker};
use crate::backoff::Backoff;
use crate::error::ScaleError;
use crate::exit::Exit;
use crate::notify::Word;
use crate::ready::Ready;
use crate::report::Report;
use crate::status::{State, WorkerStatus};

pub use self::reload::{Order, Reloaded};
pub(crate) use self::reload::{Placed, Ticket};

/// More processes than that on one machine are a mistake.
pub(crate) const MOST: usize = 1024;

/// One process, from before its start until after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) u64);

/// What the user wants.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) workers: usize,
    /// Unless it is ready when it has lived for so long, that it is so is heard of it.
    pub(crate) ready: Ready,
    pub(crate) ready_timeout: Duration,
    pub(crate) grace: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) crash_loop: CrashLoop,
    /// How long a worker that is ready may give no sign of life.
    pub(crate) watchdog: Option<Duration>,
}

/// Ten years. Whoever wants to wait longer means for ever, and no clock reaches that far.
const FOR_EVER: Duration = Duration::from_hours(10 * 365 * 24);

impl Policy {
    /// The same, with times that can be added to any other.
    fn bounded(mut self) -> Self {
        let times = [
            &mut self.ready_timeout,
            &mut self.grace,
            &mut self.crash_loop.within,
        ];
        let ready = match &mut self.ready {
            Ready::After(time) => Some(time),
            Ready::Notified | Ready::Accepts(_) => None,
        };
        for time in times.into_iter().chain(ready).chain(&mut self.watchdog) {
            *time = (*time).min(FOR_EVER);
        }
        self.backoff = self.backoff.bounded(FOR_EVER);
        self
    }
}

/// So many deaths within so much time, and a slot is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CrashLoop {
    pub(crate) deaths: usize,
    pub(crate) within: Duration,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Start {
        worker: Key,
        slot: usize,
    },
    /// Ask it to end.
    Terminate(Key),
    /// End it, and all processes of its group.
    Kill(Key),
    Report(Report),
    /// A reload came to its end.
    Answer(Vec<Ticket>, Result<Reloaded, crate::error::ReloadError>),
}

/// How it all ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    /// So many workers did not end within the grace.
    pub(crate) killed: usize,
    /// It was not asked to: all slots were given up.
    pub(crate) gave_up: bool,
}

/// How a worker ended, and what it wrote last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) last_lines: Vec<String>,
}

/// What a worker that lives wrote last.
pub(crate) type Wrote<'a> = &'a dyn Fn(Key) -> Vec<String>;

#[derive(Debug)]
pub(crate) struct Fleet {
    policy: Policy,
    slots: Vec<Slot>,
    draining: Vec<Draining>,
    reloads: Reloads,
    ending: Option<Ending>,
    were_all_ready: bool,
    has_said_end: bool,
    next: u64,
    actions: Vec<Action>,
    /// Between 0 and 1.
    chance: fn() -> f64,
}

impl Fleet {
    /// Starts all workers.
    pub(crate) fn begin(policy: Policy, chance: fn() -> f64, now: Instant) -> Self {
        let workers = policy.workers;
        let mut fleet = Self {
            policy: policy.bounded(),
            slots: Vec::new(),
            draining: Vec::new(),
            reloads: Reloads::default(),
            ending: None,
            were_all_ready: false,
            has_said_end: false,
            next: 0,
            actions: Vec::new(),
            chance,
        };
        fleet.grow(workers, now);
        fleet
    }

    /// What is to be done since the last call, in this order.
    pub(crate) fn actions(&mut self) -> Vec<Action> {
        self.sum_up();
        std::mem::take(&mut self.actions)
    }

    /// Says what is true of all.
    fn sum_up(&mut self) {
        let are_ready = self.are_all_ready();
        let were_ready = std::mem::replace(&mut self.were_all_ready, are_ready);
        if are_ready && !were_ready {
            self.report(Report::AllReady);
        }
        if let Some(Ending { killed, gave_up }) = self.ended()
            && !std::mem::replace(&mut self.has_said_end, true)
        {
            self.report(Report::Ended { killed, gave_up });
        }
    }

    /// It is over: nobody is left, and nobody is to be started.
    pub(crate) fn ended(&self) -> Option<Ending> {
        self.ending.filter(|_| self.draining.is_empty())
    }

    /// A worker's process runs.
    pub(crate) fn started(&mut self, key: Key, pid: u32) {
        let Some((slot, worker)) = self.find(key) else {
            return;
        };
        worker.pid = Some(pid);
        self.report(Report::Started { slot, pid });
    }

    /// A worker says that it can serve.
    fn ready(&mut self, key: Key, now: Instant) {
        let mut news = None;
        for slot in &mut self.slots {
            let number = slot.number;
            let Some(worker) = slot.worker_mut(key) else {
                continue;
            };
            worker.heard = now;
            if worker.ready.is_none() {
                worker.ready = Some(now);
                news = worker.pid.map(|pid| Report::Ready {
                    slot: number,
                    pid,
                    after: now - worker.since,
                });
            }
        }
        if let Some(report) = news {
            self.report(report);
            self.advance(now);
        }
    }

    /// A worker says something of itself.
    pub(crate) fn said(&mut self, key: Key, word: Word, now: Instant) {
        match word {
            Word::Ready => self.ready(key, now),
            Word::Alive => self.alive(key, now),
            Word::Stopping => self.stopping(key, now),
        }
    }

    /// A worker gives a sign of life.
    fn alive(&mut self, key: Key, now: Instant) {
        if let Some((_, worker)) = self.find(key) {
            worker.heard = now;
        }
    }

    /// A worker that served says that it ends: it has the grace to do so, and its slot gets another. It
    /// is no death, but a wait, so that a program that always does this is started no more often.
    fn stopping(&mut self, key: Key, now: Instant) {
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
        self.report(Report::Stopping { slot: number, pid });
        self.drain(number, worker, Leaving::ByItself, now);
        self.wait_for_next(index, 0, now);
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

    /// A worker is gone that was not to stay.
    fn left(&mut self, left: &Draining, exit: &Exit, now: Instant) {
        let Draining { slot, worker, .. } = left;
        let expected = left.leaving != Leaving::ByItself || *exit == Exit::Status(0);
        if let Some(slot) = self.slots.get_mut(*slot).filter(|_| !expected) {
            slot.last_exit = Some(exit.clone());
        }
        self.say_exited(*slot, worker, exit, expected, now);
    }

    /// So many workers from now on. What was the number before?
    pub(crate) fn scale(&mut self, workers: usize, now: Instant) -> Result<usize, ScaleError> {
        if !(1..=MOST).contains(&workers) {
            return Err(ScaleError::Workers(workers));
        }
        if self.ending.is_some() {
            return Err(ScaleError::Ending);
        }
        let from = self.slots.len();
        if from != workers {
            self.report(Report::Scaled { from, to: workers });
        }
        self.grow(workers, now);
        for mut slot in self.slots.split_off(workers) {
            self.clear(&mut slot, now);
        }
        self.advance(now);
        self.give_up_if_all_did(now);
        Ok(from)
    }

    /// Everybody is to end.
    pub(crate) fn end(&mut self, now: Instant) {
        if self.ending.is_none() {
            self.report(Report::Ending);
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

    /// Looks at the clock.
    pub(crate) fn tick(&mut self, now: Instant, wrote: Wrote<'_>) {
        for index in 0..self.slots.len() {
            self.look_at(index, now, wrote);
        }
        self.look_at_successors(now, wrote);
        for index in 0..self.draining.len() {
            if self.draining[index].is_overdue(now) {
                self.kill_draining(index, Some(self.policy.grace));
            }
        }
    }

    /// When to look at the clock next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
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

    /// All workers, in the order of their slots.
    pub(crate) fn status(&self, now: Instant) -> Vec<WorkerStatus> {
        let slots = self.slots.iter();
        let mut workers: Vec<_> = slots.flat_map(|slot| slot.status(now)).collect();
        workers.extend(self.draining.iter().map(|it| WorkerStatus {
            slot: it.slot,
            pid: it.worker.pid,
            state: State::Draining,
            age: now - it.worker.since,
            restarts: self.slots.get(it.slot).map_or(0, |slot| slot.restarts),
            last_exit: None,
        }));
        workers.sort_by_key(|worker| worker.slot);
        workers
    }

    /// There is a worker in each slot, and all can serve.
    pub(crate) fn are_all_ready(&self) -> bool {
        self.ending.is_none() && self.slots.iter().all(|slot| slot.seat.is_ready())
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_reloading(&self) -> bool {
        self.reloads.is_running()
    }

    fn find(&mut self, key: Key) -> Option<(usize, &mut Worker)> {
        let draining = self.draining.iter_mut();
        let draining = draining.map(|it| (it.slot, &mut it.worker));
        let slots = self.slots.iter_mut().flat_map(|slot| {
            let number = slot.number;
            slot.workers_mut().map(move |worker| (number, worker))
        });
        slots.chain(draining).find(|(_, worker)| worker.key == key)
    }

    fn grow(&mut self, workers: usize, now: Instant) {
        for number in self.slots.len()..workers {
            let worker = self.start(number, now);
            self.slots.push(Slot::new(number, worker));
        }
    }

    fn start(&mut self, slot: usize, now: Instant) -> Worker {
        let key = Key(self.next);
        self.next += 1;
        self.actions.push(Action::Start { worker: key, slot });
        Worker::new(key, now)
    }

    /// A seat has lost its worker, which was not told to end.
    fn died(&mut self, index: usize, served: Duration, ended: &Ended, now: Instant) {
        let CrashLoop { deaths, within } = self.policy.crash_loop;
        self.forget_deaths_before(index, served);
        let slot = &mut self.slots[index];
        let number = slot.number;
        if slot.count_death(within, now) >= deaths {
            slot.seat = Seat::GivenUp;
            self.report(Report::GaveUp {
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
        self.report(Report::Respawning { slot, delay });
    }

    fn is_nobody_left(&self) -> bool {
        let has_given_up = |slot: &Slot| matches!(slot.seat, Seat::GivenUp);
        self.ending.is_none() && !self.is_reloading() && self.slots.iter().all(has_given_up)
    }

    fn give_up_if_all_did(&mut self, now: Instant) {
        if self.is_nobody_left() {
            self.report(Report::NobodyLeft);
            self.end_as(true, now);
        }
    }

    fn end_as(&mut self, gave_up: bool, now: Instant) {
        self.ending = Some(Ending { killed: 0, gave_up });
        for mut slot in std::mem::take(&mut self.slots) {
            self.clear(&mut slot, now);
        }
        self.end_reloads();
    }

    /// Nobody is to run in this slot.
    fn clear(&mut self, slot: &mut Slot, now: Instant) {
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
    fn dismiss(&mut self, slot: usize, worker: Worker, leaving: Leaving, now: Instant) {
        self.actions.push(Action::Terminate(worker.key));
        self.report(Report::Draining {
            slot,
            pid: worker.pid,
        });
        self.drain(slot, worker, leaving, now);
    }

    /// Waits for the end of a worker.
    fn drain(&mut self, slot: usize, worker: Worker, leaving: Leaving, now: Instant) {
        let kill_at = Some(now + self.policy.grace);
        self.draining.push(Draining {
            slot,
            worker,
            leaving,
            kill_at,
        });
    }

    fn kill_draining(&mut self, index: usize, grace: Option<Duration>) {
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
        self.report(Report::Killed { slot, pid, grace });
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
        let within = self.policy.ready_timeout;
        let slot = &mut self.slots[index];
        let Some(worker) = slot.seat.vacate(now) else {
            return;
        };
        let (number, pid) = (slot.number, worker.pid);
        self.report(Report::NotReady {
            slot: number,
            pid,
            within,
            missing: self.policy.ready.missing(),
        });
        let ended = Ended {
            exit: Exit::NotReady,
            last_lines: wrote(worker.key),
        };
        self.dismiss(number, worker, Leaving::Told, now);
        self.slots[index].last_exit = Some(ended.exit.clone());
        self.died(index, Duration::ZERO, &ended, now);
    }

    fn silent(&mut self, key: Key) {
        let (Some(within), Some((slot, worker))) = (self.policy.watchdog, self.find(key)) else {
            return;
        };
        worker.is_killed = true;
        let pid = worker.pid;
        self.actions.push(Action::Kill(key));
        self.report(Report::Silent { slot, pid, within });
    }

    fn is_ready_by_now(&self, worker: &Worker, now: Instant) -> bool {
        let lived = now - worker.since;
        let has_lived = self
            .policy
            .ready
            .after()
            .is_some_and(|after| lived >= after);
        worker.ready.is_none() && worker.pid.is_some() && has_lived
    }

    fn is_late(&self, worker: &Worker, now: Instant) -> bool {
        worker.ready.is_none() && now - worker.since >= self.patience()
    }

    /// How long a worker may take to get ready. One that only has to live takes that time anyhow.
    fn patience(&self) -> Duration {
        let after = self.policy.ready.after().unwrap_or_default();
        self.policy.ready_timeout.saturating_add(after)
    }

    fn is_silent(&self, worker: &Worker, now: Instant) -> bool {
        let silence = now - worker.heard;
        let is_too_long = self.policy.watchdog.is_some_and(|most| silence >= most);
        worker.ready.is_some() && !worker.is_killed && is_too_long
    }

    fn deadline_of(&self, worker: &Worker) -> Option<Instant> {
        if worker.ready.is_none() {
            let ready = self.policy.ready.after().filter(|_| worker.pid.is_some());
            return Some(worker.since + ready.unwrap_or(self.patience()));
        }
        let watchdog = self.policy.watchdog.filter(|_| !worker.is_killed)?;
        Some(worker.heard + watchdog)
    }

    fn say_exited(
        &mut self,
        slot: usize,
        worker: &Worker,
        exit: &Exit,
        expected: bool,
        now: Instant,
    ) {
        self.report(Report::Exited {
            slot,
            pid: worker.pid,
            exit: exit.clone(),
            lived: now - worker.since,
            expected,
        });
    }

    fn report(&mut self, report: Report) {
        self.actions.push(Action::Report(report));
    }
}
