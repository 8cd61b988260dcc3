//! Decides what is to be done with the workers. It does nothing itself, and reads no clock: all that
//! happens is told to it, with the time, and what it wants done is in [`Fleet::actions`].
//!
//! The time is that of [`Fleet::wakes`], which leaves out the pauses of the supervisor itself.

mod clock;
mod ends;
mod reload;
mod slot;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use self::reload::Reloads;
use self::slot::{Draining, Slot, Worker};
use crate::awake::Clock;
use crate::backoff::Backoff;
use crate::error::ScaleError;
use crate::event::SupervisorEvent;
use crate::exit::Exit;
use crate::notify::Word;
use crate::ready::ReadyWhen;
use crate::status::{WorkerState, WorkerStatus};

pub(crate) use self::reload::{Placed, Ticket};
pub use self::reload::{ReloadStrategy, Reloaded};

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
    pub(crate) ready_when: ReadyWhen,
    pub(crate) ready_timeout: Duration,
    pub(crate) stop_timeout: Duration,
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
            &mut self.stop_timeout,
            &mut self.crash_loop.within,
        ];
        let ready = match &mut self.ready_when {
            ReadyWhen::After(time) => Some(time),
            ReadyWhen::Notified | ReadyWhen::Accepts(_) => None,
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
    Report(SupervisorEvent),
    /// A reload came to its end.
    Answer(Vec<Ticket>, Result<Reloaded, crate::error::ReloadError>),
}

/// How it all ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    /// So many workers did not end within the grace.
    pub(crate) killed: usize,
    /// It was not asked to: all slots were given up.
    pub(crate) all_failed: bool,
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
    clock: Clock,
    /// After a pause: until then no deadline is acted upon.
    settles_at: Option<Instant>,
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
            clock: Clock::start(now),
            settles_at: None,
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
            self.report(SupervisorEvent::AllReady);
        }
        if let Some(Ending { killed, all_failed }) = self.ended()
            && !std::mem::replace(&mut self.has_said_end, true)
        {
            self.report(SupervisorEvent::Stopped { killed, all_failed });
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
        self.report(SupervisorEvent::Started { slot, pid });
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
                news = worker.pid.map(|pid| SupervisorEvent::Ready {
                    slot: number,
                    pid,
                    after: now - worker.since,
                });
            }
        }
        if let Some(event) = news {
            self.report(event);
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

    /// So many workers from now on. What was the number before?
    pub(crate) fn scale(&mut self, workers: usize, now: Instant) -> Result<usize, ScaleError> {
        if !(1..=MOST).contains(&workers) {
            return Err(ScaleError::WorkerCount(workers));
        }
        if self.ending.is_some() {
            return Err(ScaleError::Stopping);
        }
        let from = self.slots.len();
        if from != workers {
            self.report(SupervisorEvent::Scaled { from, to: workers });
        }
        self.grow(workers, now);
        for mut slot in self.slots.split_off(workers) {
            self.clear(&mut slot, now);
        }
        self.advance(now);
        self.give_up_if_all_did(now);
        Ok(from)
    }

    /// All workers, in the order of their slots. Their ages are those that the system knows.
    pub(crate) fn status(&self, now: Instant) -> Vec<WorkerStatus> {
        let slots = self.slots.iter();
        let now = self.clock.real(now);
        let mut workers: Vec<_> = slots.flat_map(|slot| slot.status(now)).collect();
        workers.extend(self.draining.iter().map(|it| WorkerStatus {
            slot: it.slot,
            pid: it.worker.pid,
            state: WorkerState::Draining,
            uptime: now - it.worker.born,
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
        Worker::new(key, now, self.clock.real(now))
    }

    fn report(&mut self, event: SupervisorEvent) {
        self.actions.push(Action::Report(event));
    }
}
