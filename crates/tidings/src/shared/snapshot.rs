//! A shared value as it was at one moment, and what a process knows of it now.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::shared::contained::ContainedDrop;
use crate::shared::options::WhenLost;

use crate::error::shared::LoadError;
use crate::keyspace::stamp::Stamp;

/// A shared value as this process knew it at one moment. Cheap to clone; it does not change.
///
/// ```
/// use tidings::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bus = Bus::builder("memory:snapshot-docs").start().await?;
/// let limit = bus.shared::<u32>("limit")?;
///
/// let before = limit.get().await?;
/// assert!(before.value().is_none());                  // nobody set it yet
/// let after = limit.set(&100).await?;
/// assert_eq!((after.value().map(|limit| **limit), after.version()), (Some(100), 1));
/// assert!(after.stale_since().is_none() && after.problem().is_none());
/// # Ok(())
/// # }
/// ```
pub struct Snapshot<T>(Arc<Seen<T>>);

struct Seen<T> {
    value: Option<ContainedDrop<Arc<T>>>,
    /// Of the writing that the value is from, also when Redis lost that.
    stamp: Stamp,
    /// Whether it has a time to live, so that it may go by itself.
    expires: bool,
    stale_since: Option<Instant>,
    lost_since: Option<Instant>,
    problem: Option<Problem>,
}

/// How a [`Snapshot`] compares with what Redis holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// As far as is known, it is what Redis holds.
    Fresh,
    /// Redis is unreachable since then, and may hold another value by now.
    Stale {
        /// When Redis was received from last.
        since: Instant,
    },
    /// Redis held it, and lost it without anybody clearing it.
    Lost {
        /// When this process noticed that.
        since: Instant,
    },
}

/// Something that Redis holds, and that cannot be read here.
#[derive(Clone)]
pub(crate) struct Problem {
    /// Of what cannot be read, where it has one.
    pub(crate) stamp: Option<Stamp>,
    pub(crate) error: LoadError,
}

impl<T> Snapshot<T> {
    pub(crate) fn new(stamp: Stamp, value: Option<ContainedDrop<Arc<T>>>) -> Self {
        Self(Arc::new(Seen {
            value,
            stamp,
            expires: false,
            stale_since: None,
            lost_since: None,
            problem: None,
        }))
    }

    /// The same, which may go by itself.
    pub(crate) fn expiring(&self, expires: bool) -> Self {
        Self(Arc::new(Seen {
            expires,
            ..self.0.copied()
        }))
    }

    /// The value; `None` when there is none: nobody set it, it was cleared, its time to live is over,
    /// or it was lost under [`WhenLost::Clear`].
    pub fn value(&self) -> Option<&Arc<T>> {
        self.0.value.as_deref()
    }

    /// How often it was written or cleared; 0 for what was never written. It is for people and
    /// logs: a failover of Redis can take a version back, and give it to another value.
    pub fn version(&self) -> u64 {
        self.0.stamp.version
    }

    /// Since when this need not be what Redis holds, because Redis is unreachable or lost it. `None`:
    /// as far as is known, this is what it holds. [`freshness`](Self::freshness) tells the two apart.
    pub fn stale_since(&self) -> Option<Instant> {
        match self.freshness() {
            Freshness::Fresh => None,
            Freshness::Stale { since } | Freshness::Lost { since } => Some(since),
        }
    }

    /// How this compares with what Redis holds: it is that, Redis is unreachable, or Redis lost it.
    ///
    /// ```
    /// use tidings::{Freshness, Shared};
    ///
    /// fn describe(limits: &Shared<u32>) -> &'static str {
    ///     match limits.peek().map(|now| now.freshness()) {
    ///         None => "not read yet",
    ///         Some(Freshness::Fresh) => "what Redis holds",
    ///         Some(Freshness::Stale { .. }) => "Redis is unreachable",
    ///         Some(Freshness::Lost { .. }) => "Redis lost it: this is the last copy",
    ///         Some(_) => "unknown",
    ///     }
    /// }
    /// ```
    pub fn freshness(&self) -> Freshness {
        match (self.0.lost_since, self.0.stale_since) {
            // To lose the note that a value was cleared changes nothing.
            (Some(since), _) if !self.is_cleared() => Freshness::Lost { since },
            (_, Some(since)) => Freshness::Stale { since },
            (_, None) => Freshness::Fresh,
        }
    }

    /// Why this is not the newest value: Redis holds another one, which cannot be read here. It was
    /// reported to [`on_failure`](crate::BusBuilder::on_failure), too, once.
    pub fn problem(&self) -> Option<&LoadError> {
        self.0.problem.as_ref().map(|problem| &problem.error)
    }

    /// The stamp of the value, whatever Redis holds.
    pub(crate) fn stamp(&self) -> &Stamp {
        &self.0.stamp
    }

    /// The stamp of what Redis holds where it holds nothing that is of no use.
    pub(crate) fn contained(&self) -> Stamp {
        match self.0.lost_since {
            Some(_) => Stamp::default(),
            None => self.0.stamp.clone(),
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.0.lost_since.is_some()
    }

    /// Whether somebody took the value away on purpose.
    fn is_cleared(&self) -> bool {
        self.0.value.is_none() && self.0.stamp != Stamp::default()
    }

    /// Redis holds nothing: what is here then. What was written without a time to live was lost.
    pub(crate) fn gone(&self, policy: WhenLost) -> Self {
        let nothing = Self::new(Stamp::default(), None);
        let was_there = self.is_lost() || self.0.stamp != Stamp::default();
        let left = match policy {
            _ if self.0.expires || !was_there => return nothing,
            WhenLost::Keep | WhenLost::Clear if self.is_cleared() => return nothing,
            WhenLost::Clear => &nothing,
            WhenLost::Keep | WhenLost::Restore => self,
        };
        Self(Arc::new(Seen {
            lost_since: Some(self.0.lost_since.unwrap_or_else(Instant::now)),
            ..left.back().0.copied()
        }))
    }

    /// Another value of the same writing: one that was replaced before it was written.
    pub(crate) fn with_value(&self, value: ContainedDrop<Arc<T>>) -> Self {
        Self(Arc::new(Seen {
            value: Some(value),
            problem: None,
            ..self.0.copied()
        }))
    }

    fn with(&self, stale_since: Option<Instant>, problem: Option<Problem>) -> Self {
        Self(Arc::new(Seen {
            stale_since,
            problem,
            ..self.0.copied()
        }))
    }

    /// Redis holds the value that is here.
    fn back(&self) -> Self {
        Self(Arc::new(Seen {
            stale_since: None,
            lost_since: None,
            problem: None,
            ..self.0.copied()
        }))
    }

    /// The same, as long unheard of as what it replaces: only Redis can say that it is the newest.
    pub(crate) fn as_stale_as(&self, other: &Self) -> Self {
        self.with(other.0.stale_since, self.0.problem.clone())
    }

    pub(crate) fn stale(&self, since: Instant) -> Self {
        let since = self.0.stale_since.unwrap_or(since);
        self.with(Some(since), self.0.problem.clone())
    }
}

impl<T> Seen<T> {
    fn copied(&self) -> Self {
        Self {
            value: self.value.clone(),
            stamp: self.stamp.clone(),
            expires: self.expires,
            stale_since: self.stale_since,
            lost_since: self.lost_since,
            problem: self.problem.clone(),
        }
    }
}

/// What this process has of a shared value.
pub(crate) enum Here<T> {
    /// It was never read.
    Nothing,
    /// It was read, and is of no use; and there is no older value.
    Unreadable(Problem),
    Seen(Snapshot<T>),
}

impl<T> Here<T> {
    pub(crate) fn snapshot(&self) -> Option<&Snapshot<T>> {
        match self {
            Self::Seen(snapshot) => Some(snapshot),
            Self::Nothing | Self::Unreadable(_) => None,
        }
    }

    pub(crate) fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Nothing => None,
            Self::Unreadable(problem) => Some(problem),
            Self::Seen(snapshot) => snapshot.0.problem.as_ref(),
        }
    }

    /// The stamp of what was read last, whether it is of use or not; `None` where that has none, and
    /// only another reading can say whether it is still there.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        match self.problem() {
            Some(problem) => problem.stamp.clone(),
            None => self.snapshot().map(Snapshot::contained),
        }
    }

    /// Redis holds what was read last.
    pub(crate) fn confirmed(&self) -> Option<Self> {
        let snapshot = self.snapshot()?;
        let problem = snapshot.0.problem.clone();
        Some(Self::Seen(snapshot.with(None, problem)))
    }

    /// Redis holds the value that is here.
    pub(crate) fn restored(&self) -> Option<Self> {
        self.snapshot().map(|snapshot| Self::Seen(snapshot.back()))
    }

    /// Redis holds something that is of no use: what is here is kept.
    pub(crate) fn troubled(&self, problem: Problem) -> Self {
        match self {
            Self::Nothing | Self::Unreadable(_) => Self::Unreadable(problem),
            Self::Seen(snapshot) => Self::Seen(snapshot.with(None, Some(problem))),
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

    fn seen(nonce: &str) -> Here<u32> {
        Here::Seen(Snapshot::new(stamp(nonce), Some(contained(7))))
    }

    #[test]
    fn what_cannot_be_read_leaves_the_older_value() {
        let troubled = seen("a").troubled(problem(Some(stamp("b"))));
        assert_eq!(troubled.stamp(), Some(stamp("b")));
        let keyspace = troubled.snapshot().unwrap();
        assert_eq!(keyspace.value(), Some(&Arc::new(7)));
        assert!(keyspace.problem().is_some());

        let confirmed = troubled.confirmed().unwrap();
        assert!(confirmed.snapshot().unwrap().problem().is_some());
        let restored = troubled.restored().unwrap();
        assert!(restored.snapshot().unwrap().problem().is_none());
        assert_eq!(restored.stamp(), Some(stamp("a")));
    }

    #[test]
    fn what_has_no_stamp_or_was_never_read_is_read_again() {
        assert_eq!(seen("a").troubled(problem(None)).stamp(), None);
        assert_eq!(Here::<u32>::Nothing.stamp(), None);
        let unreadable = Here::<u32>::Nothing.troubled(problem(None));
        assert_eq!(unreadable.stamp(), None);
    }

    #[test]
    fn what_redis_no_longer_holds_is_lost_unless_it_was_to_go() {
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
            let gone = known.gone(policy);
            let since = match gone.freshness() {
                Freshness::Lost { since } => Some(since),
                _ => None,
            };
            assert_eq!(
                (gone.value().map(|value| **value), since.is_some()),
                (value, is_lost)
            );
            // To find the same once more changes nothing.
            assert_eq!(gone.gone(policy).freshness(), gone.freshness());
            assert_eq!(gone.contained(), Stamp::default());
        }
    }

    #[test]
    fn it_is_stale_since_the_first_silence() {
        let first = Instant::now();
        let snapshot = Snapshot::<u32>::new(stamp("a"), None);
        let stale = snapshot.stale(first).stale(Instant::now());
        assert_eq!(stale.stale_since(), Some(first));
    }
}
