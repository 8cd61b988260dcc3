//! The stamp that the cache of a map agrees with, and those that it had before.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::keyspace::stamp::Stamp;

/// The number of former nonces that are remembered, to recognize those in late answers.
const MAX_HISTORY: usize = 256;

/// The time that a notification may take which Redis sent before it answered. One that has not come
/// by then was missed.
pub(crate) const NOTIFICATION_DELAY: Duration = Duration::from_millis(100);

/// The stamps of a cache when one was requested.
#[derive(Clone, Debug)]
pub(crate) struct CacheState {
    stamp: Stamp,
    steps: u64,
}

#[derive(Debug, Default)]
pub(super) struct Stamps {
    current: Stamp,
    /// The former nonces of the stamp, since it was last adopted.
    history: VecDeque<String>,
    /// The number of times that it advanced.
    steps: u64,
    /// The time when the stamp was adopted from an answer: earlier notifications may still come.
    answered: Option<Instant>,
    /// The stamp that an answer had before its notification was received.
    unannounced: Option<Stamp>,
}

impl Stamps {
    pub(super) fn current(&self) -> &Stamp {
        &self.current
    }

    /// Returns the state, for a request that begins now.
    pub(super) fn state(&self) -> CacheState {
        CacheState {
            stamp: self.current.clone(),
            steps: self.steps,
        }
    }

    /// Returns whether the cache has this stamp, or had it since then: notifications of later
    /// changes may overtake the answer. An older one would be from a failover.
    pub(super) fn had_since(&self, state: &CacheState, stamp: &Stamp) -> bool {
        let steps = usize::try_from(self.steps - state.steps).unwrap_or(usize::MAX);
        let mut known = self.history.iter().rev().take(steps);
        *stamp == self.current || *stamp == state.stamp || known.any(|nonce| *nonce == stamp.nonce)
    }

    pub(super) fn is_known(&self, stamp: &Stamp) -> bool {
        *stamp == self.current || self.history.contains(&stamp.nonce)
    }

    pub(super) fn is_next(&self, now: &Stamp, was: &str) -> bool {
        was == self.current.nonce && self.current.version.checked_add(1) == Some(now.version)
    }

    /// Returns whether this change is older than the answer that the stamp is from, and so included
    /// in it. Versions can be reset, so this holds for a moment only.
    pub(super) fn is_late(&self, now: &Stamp) -> bool {
        let answered = self
            .answered
            .is_some_and(|at| at.elapsed() < NOTIFICATION_DELAY);
        answered && now.version < self.current.version
    }

    /// Returns whether this is the first notification of a stamp that an answer had before.
    pub(super) fn take_unannounced(&mut self, now: &Stamp) -> bool {
        self.unannounced.take_if(|stamp| stamp == now).is_some()
    }

    /// All changes up to this stamp were received.
    pub(super) fn advance(&mut self, now: Stamp) {
        if self.history.len() == MAX_HISTORY {
            self.history.pop_front();
        }
        let former = std::mem::replace(&mut self.current, now);
        self.history.push_back(former.nonce);
        self.steps += 1;
    }

    /// Starts again with the stamp of a notification, or with none.
    pub(super) fn adopt(&mut self, stamp: Stamp) {
        self.history.clear();
        self.answered = None;
        self.unannounced = None;
        self.current = stamp;
    }

    /// Starts again with the stamp of an answer.
    pub(super) fn adopt_answer(&mut self, stamp: Stamp) {
        self.adopt(stamp);
        self.answered = Some(Instant::now());
    }

    /// As [`adopt_answer`](Self::adopt_answer), with one whose change was not notified yet.
    pub(super) fn adopt_unannounced(&mut self, stamp: &Stamp) {
        self.adopt_answer(stamp.clone());
        self.unannounced = Some(stamp.clone());
    }
}
