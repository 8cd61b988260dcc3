//! A slot and its workers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Key;
use crate::backoff::Backoff;
use crate::exit::Exit;
use crate::status::{WorkerState, WorkerStatus};

/// A place for one worker, which knows its number as `WORKER_ID`.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: usize,
    pub(super) state: SlotState,
    /// The worker that a reload has started, until it is promoted.
    pub(super) new_worker: Option<Worker>,
    /// The number of deaths in a row, which determines the next delay.
    pub(super) failures: u32,
    pub(super) restarts: u64,
    pub(super) last_exit: Option<Exit>,
    recent_deaths: VecDeque<Instant>,
}

#[derive(Debug)]
pub(super) enum SlotState {
    Occupied(Worker),
    Backoff { until: Instant },
    Failed,
}

/// A process that runs, or is about to be started.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) key: Key,
    pub(super) pid: Option<u32>,
    pub(super) started_at: Instant,
    /// The same by the system's clock.
    pub(super) really_started_at: Instant,
    pub(super) ready_since: Option<Instant>,
    /// The time of its start or its last ready or watchdog notification.
    pub(super) last_notified: Instant,
    pub(super) is_killed: bool,
}

/// A worker that is stopping.
#[derive(Debug)]
pub(super) struct DrainingWorker {
    pub(super) slot: usize,
    pub(super) worker: Worker,
    pub(super) reason: StopReason,
    /// `None` after it was killed.
    pub(super) kill_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// A reload replaced the worker, or failed and stops its new workers.
    Reload,
    /// The worker was told to stop for another reason.
    Told,
    /// The worker announced that it stops.
    Announced,
    /// The worker was not ready in time.
    NotReady,
}

impl Slot {
    pub(super) fn new(number: usize, worker: Worker) -> Self {
        Self {
            number,
            state: SlotState::Occupied(worker),
            new_worker: None,
            failures: 0,
            restarts: 0,
            last_exit: None,
            recent_deaths: VecDeque::new(),
        }
    }

    pub(super) fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.state.worker().into_iter().chain(&self.new_worker)
    }

    pub(super) fn workers_mut(&mut self) -> impl Iterator<Item = &mut Worker> {
        let current = match &mut self.state {
            SlotState::Occupied(worker) => Some(worker),
            SlotState::Backoff { .. } | SlotState::Failed => None,
        };
        current.into_iter().chain(&mut self.new_worker)
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.workers().any(|worker| worker.key == key)
    }

    /// Counts a death, and returns the number of deaths within this time.
    pub(super) fn count_death(&mut self, within: Duration, now: Instant) -> usize {
        self.recent_deaths.push_back(now);
        self.recent_deaths.retain(|death| now - *death < within);
        self.recent_deaths.len()
    }

    /// Returns whether earlier deaths still influence what happens at the next one.
    pub(super) fn remembers(&self, within: Duration, backoff: &Backoff, now: Instant) -> bool {
        let is_recent = |death: &Instant| now - *death < within;
        let worker = self.state.worker().filter(|_| self.failures > 0);
        self.recent_deaths.iter().any(is_recent)
            || worker.is_some_and(|it| !backoff.is_reset_after(it.ready_for(now)))
    }

    /// Replaces the worker by the new one, forgets earlier deaths, and returns the old worker.
    pub(super) fn promote(&mut self) -> Option<Worker> {
        let new_worker = self.new_worker.take()?;
        let old_worker = self.state.take_worker();
        self.state = SlotState::Occupied(new_worker);
        self.failures = 0;
        self.recent_deaths.clear();
        old_worker
    }

    /// Returns the status of its workers. `now` is the time of the system's clock.
    pub(super) fn status(&self, now: Instant) -> impl Iterator<Item = WorkerStatus> {
        let state = match &self.state {
            SlotState::Occupied(worker) => worker.state(),
            SlotState::Backoff { .. } => WorkerState::Backoff,
            SlotState::Failed => WorkerState::Failed,
        };
        let current = (state, self.state.worker());
        let new_worker = self.new_worker.as_ref();
        let new_worker = new_worker.map(|worker| (worker.state(), Some(worker)));
        let all = std::iter::once(current).chain(new_worker);
        all.map(move |(state, worker)| WorkerStatus {
            slot: self.number,
            pid: worker.and_then(|worker| worker.pid),
            state,
            uptime: worker.map_or(Duration::ZERO, |it| now - it.really_started_at),
            restarts: self.restarts,
            last_exit: self.last_exit.clone(),
        })
    }
}

impl SlotState {
    fn worker(&self) -> Option<&Worker> {
        match self {
            Self::Occupied(worker) => Some(worker),
            Self::Backoff { .. } | Self::Failed => None,
        }
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.worker().is_some_and(|worker| worker.key == key)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.worker()
            .is_some_and(|worker| worker.ready_since.is_some())
    }

    pub(super) fn backoff_until(&self) -> Option<Instant> {
        match self {
            Self::Backoff { until } => Some(*until),
            Self::Occupied(_) | Self::Failed => None,
        }
    }

    /// Takes the worker out, if there is one. The caller must set the next state.
    pub(super) fn take_worker(&mut self) -> Option<Worker> {
        if !matches!(self, Self::Occupied(_)) {
            return None;
        }
        match std::mem::replace(self, Self::Failed) {
            Self::Occupied(worker) => Some(worker),
            Self::Backoff { .. } | Self::Failed => None,
        }
    }
}

impl Worker {
    pub(super) fn new(key: Key, now: Instant, really_now: Instant) -> Self {
        Self {
            key,
            pid: None,
            started_at: now,
            really_started_at: really_now,
            ready_since: None,
            last_notified: now,
            is_killed: false,
        }
    }

    pub(super) fn ready_for(&self, now: Instant) -> Duration {
        self.ready_since.map_or(Duration::ZERO, |since| now - since)
    }

    fn state(&self) -> WorkerState {
        match self.ready_since {
            Some(_) => WorkerState::Ready,
            None => WorkerState::Starting,
        }
    }
}

impl DrainingWorker {
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.kill_at.is_some_and(|at| at <= now)
    }
}
