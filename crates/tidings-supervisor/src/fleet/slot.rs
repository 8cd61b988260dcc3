//! A slot, and who sits in it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Key;
use crate::backoff::Backoff;
use crate::exit::Exit;
use crate::status::{WorkerState, WorkerStatus};

/// A place for one worker, which it knows as `WORKER_ID`.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: usize,
    pub(super) seat: Seat,
    /// Who takes the seat in a reload.
    pub(super) successor: Option<Worker>,
    /// How many died in a row, for the wait before the next.
    pub(super) failures: u32,
    pub(super) restarts: u64,
    pub(super) last_exit: Option<Exit>,
    /// When workers died, lately.
    deaths: VecDeque<Instant>,
}

#[derive(Debug)]
pub(super) enum Seat {
    Taken(Worker),
    Waiting { until: Instant },
    GivenUp,
}

/// A process that runs, or is about to.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) key: Key,
    pub(super) pid: Option<u32>,
    pub(super) since: Instant,
    /// The same, as the system's clock had it.
    pub(super) born: Instant,
    /// Since when it can serve.
    pub(super) ready: Option<Instant>,
    /// When it gave a sign of life.
    pub(super) heard: Instant,
    pub(super) is_killed: bool,
}

/// A worker that ends.
#[derive(Debug)]
pub(super) struct Draining {
    pub(super) slot: usize,
    pub(super) worker: Worker,
    pub(super) leaving: Leaving,
    /// None once that was done.
    pub(super) kill_at: Option<Instant>,
}

/// Why a worker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It was replaced, or should have replaced somebody.
    ForReload,
    /// It was told to for another reason.
    Told,
    /// It said itself that it does.
    ByItself,
}

impl Slot {
    pub(super) fn new(number: usize, worker: Worker) -> Self {
        Self {
            number,
            seat: Seat::Taken(worker),
            successor: None,
            failures: 0,
            restarts: 0,
            last_exit: None,
            deaths: VecDeque::new(),
        }
    }

    pub(super) fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.seat.worker().into_iter().chain(&self.successor)
    }

    pub(super) fn workers_mut(&mut self) -> impl Iterator<Item = &mut Worker> {
        let seated = match &mut self.seat {
            Seat::Taken(worker) => Some(worker),
            Seat::Waiting { .. } | Seat::GivenUp => None,
        };
        seated.into_iter().chain(&mut self.successor)
    }

    pub(super) fn worker_mut(&mut self, key: Key) -> Option<&mut Worker> {
        self.workers_mut().find(|worker| worker.key == key)
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.workers().any(|worker| worker.key == key)
    }

    /// Counts one more; how many were there within this time?
    pub(super) fn count_death(&mut self, within: Duration, now: Instant) -> usize {
        self.deaths.push_back(now);
        self.deaths.retain(|death| now - *death < within);
        self.deaths.len()
    }

    /// Its past decides about its next death, as long as not enough time has passed.
    pub(super) fn remembers(&self, within: Duration, backoff: &Backoff, now: Instant) -> bool {
        let is_recent = |death: &Instant| now - *death < within;
        let serves = self.seat.worker().filter(|_| self.failures > 0);
        self.deaths.iter().any(is_recent)
            || serves.is_some_and(|worker| !backoff.forgets_after(worker.served(now)))
    }

    /// The successor takes the seat; what happened to those before is forgotten.
    pub(super) fn promote(&mut self, now: Instant) -> Option<Worker> {
        let successor = self.successor.take()?;
        let elder = self.seat.vacate(now);
        self.seat = Seat::Taken(successor);
        self.failures = 0;
        self.deaths.clear();
        elder
    }

    /// By the system's clock.
    pub(super) fn status(&self, now: Instant) -> impl Iterator<Item = WorkerStatus> {
        let state = match &self.seat {
            Seat::Taken(worker) => worker.state(),
            Seat::Waiting { .. } => WorkerState::Backoff,
            Seat::GivenUp => WorkerState::Failed,
        };
        let seated = (state, self.seat.worker());
        let successor = self.successor.as_ref();
        let successor = successor.map(|worker| (worker.state(), Some(worker)));
        let all = std::iter::once(seated).chain(successor);
        all.map(move |(state, worker)| WorkerStatus {
            slot: self.number,
            pid: worker.and_then(|worker| worker.pid),
            state,
            uptime: worker.map_or(Duration::ZERO, |worker| now - worker.born),
            restarts: self.restarts,
            last_exit: self.last_exit.clone(),
        })
    }
}

impl Seat {
    fn worker(&self) -> Option<&Worker> {
        match self {
            Self::Taken(worker) => Some(worker),
            Self::Waiting { .. } | Self::GivenUp => None,
        }
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.worker().is_some_and(|worker| worker.key == key)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.worker().is_some_and(|worker| worker.ready.is_some())
    }

    pub(super) fn until(&self) -> Option<Instant> {
        match self {
            Self::Waiting { until } => Some(*until),
            Self::Taken(_) | Self::GivenUp => None,
        }
    }

    /// Takes the worker out, if there is one; the seat then waits, until somebody decides for how
    /// long.
    pub(super) fn vacate(&mut self, now: Instant) -> Option<Worker> {
        if !matches!(self, Self::Taken(_)) {
            return None;
        }
        match std::mem::replace(self, Self::Waiting { until: now }) {
            Self::Taken(worker) => Some(worker),
            Self::Waiting { .. } | Self::GivenUp => None,
        }
    }
}

impl Worker {
    pub(super) fn new(key: Key, now: Instant, born: Instant) -> Self {
        Self {
            key,
            pid: None,
            since: now,
            born,
            ready: None,
            heard: now,
            is_killed: false,
        }
    }

    pub(super) fn served(&self, now: Instant) -> Duration {
        self.ready.map_or(Duration::ZERO, |ready| now - ready)
    }

    fn state(&self) -> WorkerState {
        match self.ready {
            Some(_) => WorkerState::Ready,
            None => WorkerState::Starting,
        }
    }
}

impl Draining {
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.kill_at.is_some_and(|at| at <= now)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.kill_at
    }
}
