//! `Snapshot`: a shared value at one moment, and its freshness.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::shared::contained::ContainedDrop;
use crate::shared::options::WhenLost;

use crate::error::shared::LoadError;
use crate::keyspace::stamp::Stamp;

/// A nonce that no write has.
const NEVER_STORED: &str = "never stored";

/// A shared value as this process knew it at one moment. Immutable and cheap to clone.
///
/// ```
/// use tidings::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// let bus = Bus::builder("memory:snapshot-docs").start().await?;
/// let limit = bus.shared::<u32>("limit")?;
///
/// let before = limit.get().await?;
/// assert!(before.value().is_none());                  // not set yet
/// let after = limit.set(&100).await?;
/// assert_eq!((after.value().map(|limit| **limit), after.version()), (Some(100), 1));
/// assert!(after.stale_since().is_none() && after.problem().is_none());
/// # Ok(()) }
/// ```
pub struct Snapshot<T>(Arc<SnapshotInner<T>>);

struct SnapshotInner<T> {
    value: Option<ContainedDrop<Arc<T>>>,
    /// The stamp of the write that the value is from, also if Redis lost it.
    stamp: Stamp,
    /// The value has a time to live, and Redis may remove it.
    expires: bool,
    stale_since: Option<Instant>,
    lost_since: Option<Instant>,
    problem: Option<Problem>,
}

/// The relation of a [`Snapshot`] to the value in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// As far as is known, Redis holds the same value.
    Fresh,
    /// Redis is unreachable and may hold another value.
    Stale {
        /// The time of the last message from Redis.
        since: Instant,
    },
    /// Redis lost the value; nobody cleared it.
    Lost {
        /// The time when this process noticed it.
        since: Instant,
    },
}

/// A value in Redis that cannot be decoded.
#[derive(Clone)]
pub(crate) struct Problem {
    /// Its stamp, if it has one.
    pub(crate) stamp: Option<Stamp>,
    pub(crate) error: LoadError,
}

impl<T> Snapshot<T> {
    pub(crate) fn new(stamp: Stamp, value: Option<ContainedDrop<Arc<T>>>) -> Self {
        Self(Arc::new(SnapshotInner {
            value,
            stamp,
            expires: false,
            stale_since: None,
            lost_since: None,
            problem: None,
        }))
    }

    fn changed(&self, change: impl FnOnce(&mut SnapshotInner<T>)) -> Self {
        let mut inner = SnapshotInner {
            value: self.0.value.clone(),
            stamp: self.0.stamp.clone(),
            problem: self.0.problem.clone(),
            ..*self.0
        };
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// Sets whether the value has a time to live.
    pub(crate) fn expiring(&self, expires: bool) -> Self {
        self.changed(|inner| inner.expires = expires)
    }

    /// Returns the value; `None` if it was never set, was cleared or has expired, or was lost under
    /// [`WhenLost::Clear`].
    pub fn value(&self) -> Option<&Arc<T>> {
        self.0.value.as_deref()
    }

    /// Returns how often the value was written or cleared; 0 if it was never written. Use it in
    /// logs only: a failover of Redis can reset it and assign it to another value.
    pub fn version(&self) -> u64 {
        self.0.stamp.version
    }

    /// Returns since when this may differ from the value in Redis, because Redis is unreachable or
    /// lost it. `None`: as far as is known, it is the same. [`freshness`](Self::freshness) tells
    /// the two causes apart.
    pub fn stale_since(&self) -> Option<Instant> {
        match self.freshness() {
            Freshness::Fresh => None,
            Freshness::Stale { since } | Freshness::Lost { since } => Some(since),
        }
    }

    /// Returns how this relates to the value in Redis: the same, stale or lost.
    ///
    /// ```
    /// use tidings::{Freshness, Shared};
    ///
    /// fn describe(limits: &Shared<u32>) -> &'static str {
    ///     match limits.peek().map(|now| now.freshness()) {
    ///         None => "not read yet",
    ///         Some(Freshness::Fresh) => "the value in Redis",
    ///         Some(Freshness::Stale { .. }) => "Redis is unreachable",
    ///         Some(Freshness::Lost { .. }) => "Redis lost it: this is the last copy",
    ///         Some(_) => "unknown",
    ///     }
    /// }
    /// ```
    pub fn freshness(&self) -> Freshness {
        match (self.0.lost_since, self.0.stale_since) {
            // The loss of the note that a value was cleared changes nothing.
            (Some(since), _) if !self.is_cleared() => Freshness::Lost { since },
            (_, Some(since)) => Freshness::Stale { since },
            (_, None) => Freshness::Fresh,
        }
    }

    /// Returns the error if Redis holds a newer value that cannot be decoded here. It was also
    /// reported once to [`on_failure`](crate::BusBuilder::on_failure).
    pub fn problem(&self) -> Option<&LoadError> {
        self.0.problem.as_ref().map(|problem| &problem.error)
    }

    /// The stamp of the value, also if Redis lost it.
    pub(crate) fn stamp(&self) -> &Stamp {
        &self.0.stamp
    }

    /// The stamp in Redis, as far as is known.
    pub(crate) fn stamp_in_redis(&self) -> Stamp {
        match self.0.lost_since {
            Some(_) => Stamp::default(),
            None => self.0.stamp.clone(),
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.0.lost_since.is_some()
    }

    fn is_cleared(&self) -> bool {
        self.0.value.is_none() && self.0.stamp != Stamp::default()
    }

    /// The snapshot after Redis was found to hold nothing. A value without a time to live was lost.
    pub(crate) fn after_loss(&self, policy: WhenLost) -> Self {
        let nothing = Self::new(Stamp::default(), None);
        let was_there = self.is_lost() || self.0.stamp != Stamp::default();
        let remaining = match policy {
            _ if self.0.expires || !was_there => return nothing,
            WhenLost::Keep | WhenLost::Clear if self.is_cleared() => return nothing,
            WhenLost::Clear => &nothing,
            WhenLost::Keep | WhenLost::Restore => self,
        };
        let since = self.0.lost_since.unwrap_or_else(Instant::now);
        remaining
            .as_fresh()
            .changed(|inner| inner.lost_since = Some(since))
    }

    /// Returns whether Redis has lost the write that this is from, if this is what it holds next.
    /// A value with a time to live may have expired, and so may the note that it was cleared.
    pub(crate) fn is_lost_in(&self, next: &Self) -> bool {
        let (seen, held) = (self.stamp_in_redis(), next.stamp_in_redis());
        let is_older = held != seen && held.version <= seen.version;
        let is_gone = next.is_lost() && !self.is_cleared();
        is_older && !self.0.expires && (is_gone || held != Stamp::default())
    }

    /// The result of an update, as its closure returned it.
    pub(crate) fn with_value(&self, value: ContainedDrop<Arc<T>>) -> Self {
        self.changed(|inner| (inner.value, inner.problem) = (Some(value), None))
    }

    /// The result of an update that was replaced within its batch: Redis never held it.
    pub(crate) fn never_stored(&self) -> Self {
        self.changed(|inner| NEVER_STORED.clone_into(&mut inner.stamp.nonce))
    }

    fn as_fresh(&self) -> Self {
        self.changed(|inner| {
            (inner.stale_since, inner.lost_since) = (None, None);
            inner.problem = None;
        })
    }

    /// Takes over the staleness of the snapshot that this replaces: only Redis can say that it is
    /// the newest.
    pub(crate) fn as_stale_as(&self, other: &Self) -> Self {
        self.changed(|inner| inner.stale_since = other.0.stale_since)
    }

    pub(crate) fn stale(&self, since: Instant) -> Self {
        self.changed(|inner| _ = inner.stale_since.get_or_insert(since))
    }
}

/// The value in a replica.
pub(crate) enum Current<T> {
    Unread,
    /// Only a value that cannot be decoded was read.
    Unreadable(Problem),
    Known(Snapshot<T>),
}

impl<T> Current<T> {
    pub(crate) fn snapshot(&self) -> Option<&Snapshot<T>> {
        match self {
            Self::Known(snapshot) => Some(snapshot),
            Self::Unread | Self::Unreadable(_) => None,
        }
    }

    pub(crate) fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Unread => None,
            Self::Unreadable(problem) => Some(problem),
            Self::Known(snapshot) => snapshot.0.problem.as_ref(),
        }
    }

    /// The part of the state whose changes watchers see.
    pub(crate) fn observable(&self) -> impl PartialEq {
        let snapshot = self.snapshot();
        let state = snapshot.map(|snapshot| (snapshot.stamp(), snapshot.is_lost()));
        (state, self.problem().is_some())
    }

    /// The stamp that was read last, decodable or not; `None` if only another read can tell whether
    /// Redis still holds it.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        match self.problem() {
            Some(problem) => problem.stamp.clone(),
            None => self.snapshot().map(Snapshot::stamp_in_redis),
        }
    }

    /// Redis holds the stamp that was read last.
    pub(crate) fn confirmed(&self) -> Option<Self> {
        let snapshot = self.snapshot()?;
        let confirmed = snapshot.changed(|inner| inner.stale_since = None);
        Some(Self::Known(confirmed))
    }

    pub(crate) fn restored(&self) -> Option<Self> {
        self.snapshot()
            .map(|snapshot| Self::Known(snapshot.as_fresh()))
    }

    /// Redis holds a value that cannot be decoded: keeps the older one.
    pub(crate) fn with_problem(&self, problem: Problem) -> Self {
        match self {
            Self::Unread | Self::Unreadable(_) => Self::Unreadable(problem),
            Self::Known(snapshot) => Self::Known(snapshot.changed(|inner| {
                (inner.stale_since, inner.problem) = (None, Some(problem));
            })),
        }
    }
}

impl<T> Clone for Snapshot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("value", &self.value())
            .field("version", &self.0.stamp.version)
            .field("freshness", &self.freshness())
            .field("problem", &self.problem())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::contained::contained;

    fn stamp(nonce: &str) -> Stamp {
        Stamp {
            version: 1,
            nonce: nonce.to_owned(),
        }
    }

    fn problem(stamp: Option<Stamp>) -> Problem {
        let (shared, words) = ("limit".to_owned(), "a list".to_owned());
        let error = LoadError::Foreign { shared, words };
        Problem { stamp, error }
    }

    fn known(nonce: &str) -> Current<u32> {
        Current::Known(Snapshot::new(stamp(nonce), Some(contained(7))))
    }

    #[test]
    fn a_value_that_cannot_be_decoded_leaves_the_older_one() {
        let current = known("a").with_problem(problem(Some(stamp("b"))));
        assert_eq!(current.stamp(), Some(stamp("b")));
        let snapshot = current.snapshot().unwrap();
        assert_eq!(snapshot.value(), Some(&Arc::new(7)));
        assert!(snapshot.problem().is_some());

        let confirmed = current.confirmed().unwrap();
        assert!(confirmed.snapshot().unwrap().problem().is_some());
        let restored = current.restored().unwrap();
        assert!(restored.snapshot().unwrap().problem().is_none());
        assert_eq!(restored.stamp(), Some(stamp("a")));
    }

    #[test]
    fn a_value_without_a_stamp_is_read_again() {
        assert_eq!(known("a").with_problem(problem(None)).stamp(), None);
        assert_eq!(Current::<u32>::Unread.stamp(), None);
        let unreadable = Current::<u32>::Unread.with_problem(problem(None));
        assert_eq!(unreadable.stamp(), None);
    }

    #[test]
    fn a_value_missing_in_redis_is_lost_unless_it_expired_or_was_cleared() {
        let written = Snapshot::new(stamp("a"), Some(contained(7)));
        let brief = written.expiring(true);
        let cleared = Snapshot::<u32>::new(stamp("b"), None);
        let nothing = Snapshot::<u32>::new(Stamp::default(), None);
        for (known, policy, value, is_lost) in [
            (&written, WhenLost::Keep, Some(7), true),
            (&written, WhenLost::Clear, None, true),
            (&written, WhenLost::Restore, Some(7), true),
            (&brief, WhenLost::Restore, None, false),
            (&cleared, WhenLost::Keep, None, false),
            (&cleared, WhenLost::Clear, None, false),
            (&cleared, WhenLost::Restore, None, false),
            (&nothing, WhenLost::Restore, None, false),
        ] {
            let lost = known.after_loss(policy);
            let since = match lost.freshness() {
                Freshness::Lost { since } => Some(since),
                _ => None,
            };
            assert_eq!(
                (lost.value().map(|value| **value), since.is_some()),
                (value, is_lost)
            );
            // A second look changes nothing.
            assert_eq!(lost.after_loss(policy).freshness(), lost.freshness());
            assert_eq!(lost.stamp_in_redis(), Stamp::default());
        }
    }

    #[test]
    fn a_change_is_lost_if_redis_holds_no_later_one() {
        let at = |version, nonce: &str| {
            let nonce = nonce.to_owned();
            Snapshot::new(Stamp { version, nonce }, Some(contained(7)))
        };
        let lost = at(2, "a").after_loss(WhenLost::Keep);
        let cleared = Snapshot::new(at(2, "a").stamp().clone(), None);
        let nothing = Snapshot::<u32>::new(Stamp::default(), None);
        for (seen, next, is_lost) in [
            (at(2, "a"), at(3, "b"), false),
            (at(2, "a"), at(2, "a").stale(Instant::now()), false),
            (at(2, "a"), at(2, "b"), true),
            (at(2, "a"), at(1, "b"), true),
            (at(2, "a"), lost.clone(), true),
            (at(2, "a").expiring(true), at(1, "b"), false),
            (at(2, "a").expiring(true), nothing.clone(), false),
            (
                cleared.clone(),
                cleared.after_loss(WhenLost::Restore),
                false,
            ),
            (cleared.clone(), at(1, "b"), true),
            // It was reported before.
            (lost.clone(), at(1, "b"), false),
            (lost.clone(), lost, false),
            (nothing.clone(), at(1, "b"), false),
            (nothing.clone(), nothing, false),
        ] {
            assert_eq!(seen.is_lost_in(&next), is_lost, "{seen:?} {next:?}");
        }
    }

    #[test]
    fn a_snapshot_is_stale_since_redis_first_became_unreachable() {
        let first = Instant::now();
        let snapshot = Snapshot::<u32>::new(stamp("a"), None);
        let stale = snapshot.stale(first).stale(Instant::now());
        assert_eq!(stale.stale_since(), Some(first));
    }
}
