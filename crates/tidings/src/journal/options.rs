//! The options of a journaled bus.

use std::time::Duration;

use crate::task::FOREVER;

/// The default of [`Journal::max_age`].
const MAX_AGE: Duration = Duration::from_mins(10);

/// The default of [`Journal::max_bytes`].
const MAX_BYTES: u64 = 64 << 20;

/// The least of [`Journal::max_bytes`]: one frame can be larger than 1 MiB.
const LEAST_BYTES: u64 = 1 << 20;

/// Keeps the events of a bus in a Redis stream, so that subscribers receive what was sent while they
/// were disconnected, slow or down. Give it to [`BusBuilder::journal`](crate::BusBuilder::journal).
///
/// All processes of a namespace write to one stream, and each follows it from its own position. A
/// process continues where it stopped: in order, and without duplicates. [`on_gap`](crate::Bus::on_gap)
/// reports only what the journal cannot give back: events that were
/// [trimmed](crate::GapReason::Trimmed) before this process read them, and those that Redis itself has
/// lost ([`JournalLost`](crate::GapReason::JournalLost), [`Diverged`](crate::GapReason::Diverged)).
/// Requests, responses, shared values and maps do not use the journal.
///
/// ```
/// use std::time::Duration;
/// use tidings::Journal;
/// use tidings::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// let journal = Journal::default().max_age(Duration::from_secs(3_600)).max_bytes(256 << 20);
/// let bus = Bus::builder("memory:journal-docs").journal(journal).start().await?;
/// let receipt = bus.send_to_all("cache.clear", "user:7").await?;
/// println!("at {}", receipt.position().expect("the bus has a journal"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it has no effect before it is given to the builder of a bus"]
pub struct Journal {
    pub(crate) max_age: Duration,
    pub(crate) max_bytes: u64,
    pub(crate) since: Since,
    pub(crate) follow_only: bool,
    pub(crate) create: bool,
    pub(crate) confirm: Option<(u32, Duration)>,
    pub(crate) durable: Option<String>,
}

/// The position at which a bus begins to read the [journal](Journal).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Since {
    /// The end: only events that are sent from the start of the bus on.
    #[default]
    Now,
    /// Events of this last time, by Redis's clock.
    Ago(Duration),
    /// The oldest event that the journal has.
    Start,
}

impl Default for Journal {
    /// Returns a journal of 10 minutes and 64 MiB.
    fn default() -> Self {
        Self {
            max_age: MAX_AGE,
            max_bytes: MAX_BYTES,
            since: Since::Now,
            follow_only: false,
            create: true,
            confirm: None,
            durable: None,
        }
    }
}

impl Journal {
    /// Sets for how long events are kept; 10 minutes by default.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age.min(FOREVER);
        self
    }

    /// Sets how much memory of Redis the journal may use; 64 MiB by default, and at least 1 MiB. The
    /// oldest events are removed when it is exceeded, so a fast sender shortens the time that the
    /// journal reaches back.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes.max(LEAST_BYTES);
        self
    }

    /// Sets where this bus begins to read; at the [end](Since::Now) by default.
    ///
    /// Events of the past are passed to handlers that were given to the builder, or were collected
    /// from `#[tidings::on]`: reading begins when the bus starts.
    /// [`Context::is_replayed`](crate::Context::is_replayed) tells them apart, and
    /// [`Bus::caught_up`](crate::Bus::caught_up) waits for the end of them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidings::prelude::*;
    /// use tidings::{Journal, Since};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let last_minutes = Since::Ago(Duration::from_secs(300));
    /// let bus = Bus::builder("memory:since-docs")
    ///     .journal(Journal::default().since(last_minutes))
    ///     .on("order.placed", |order: u64, context: Context| async move {
    ///         println!("order {order}, replayed: {}", context.is_replayed());
    ///     })
    ///     .start()
    ///     .await?;
    /// bus.caught_up().await;
    /// # Ok(()) }
    /// ```
    pub fn since(mut self, since: Since) -> Self {
        self.since = since;
        self
    }

    /// Continues where the last process with this name stopped, so that it receives what was sent while
    /// none was running.
    ///
    /// The position is stored in Redis, about once a second and at the shutdown, up to the event that
    /// the handlers of **all** subscriptions have finished: they returned, failed, panicked or ran into
    /// their timeout. After a crash the events since the last stored position are handled again, so each
    /// event is handled at least once. A handler that failed is not called again: the failure is
    /// [reported](crate::BusBuilder::on_failure). A name that has no position begins at the start of the
    /// journal, which is reported as a gap of unknown size. Handlers must be given to the builder: the
    /// bus reads as soon as it starts.
    ///
    /// Events that are sent to [a node](crate::Bus::send_to) or [a role](crate::Bus::send_to_role) are
    /// for the nodes of that time. The next process with the name is another node: it reports those that
    /// the last one may not have handled, as
    /// [`GapReason::Predecessor`](crate::GapReason::Predecessor).
    ///
    /// A name has one reader. A second process with the same name is a standby: it is ready, handles
    /// only requests and what is sent to its own node or role, and takes over when the first one has
    /// shut down, or 15 s after it vanished. [`Health::journal`](crate::Health::journal) tells which it is. It
    /// is no queue of jobs: the events of a name are not spread over several processes.
    ///
    /// While a name is stored, the journal keeps what the [`max_age`](Self::max_age) and
    /// [`max_bytes`](Self::max_bytes) of its process ask for, whatever those of others are. A handler
    /// that takes long is waited for without a limit, and so is a [stream](crate::Bus::stream) that is
    /// not read: the other handlers wait with it, and the log says so every 30 s.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidings::Journal;
    /// use tidings::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let journal = Journal::default().max_age(Duration::from_secs(86_400)).durable("billing");
    /// let bus = Bus::builder("memory:durable-docs")
    ///     .journal(journal)
    ///     .on("order.placed", |order: u64| async move { println!("charge {order}") })
    ///     .start()
    ///     .await?;
    /// # bus.shutdown(Duration::from_secs(5)).await?;
    /// # Ok(()) }
    /// ```
    pub fn durable(mut self, name: &str) -> Self {
        self.durable = Some(name.to_owned());
        self
    }

    /// Makes a send wait until this many replicas of Redis have the event, for `timeout` at most: half
    /// of [`heartbeat_interval`](crate::BusBuilder::heartbeat_interval) is the limit. If they do not
    /// confirm it in time, the event is in the journal, and the send ends with
    /// [`SendFailure::NotReplicated`](crate::SendFailure::NotReplicated). Off by default.
    ///
    /// Redis replicates without waiting, so a failover can take away events that it has accepted. An
    /// event that **all** replicas have survives each failover to one of them. With fewer, the replica
    /// that is promoted may be another one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidings::Journal;
    ///
    /// let journal = Journal::default().confirm(2, Duration::from_millis(500));
    /// # let _ = journal;
    /// ```
    pub fn confirm(mut self, replicas: u32, timeout: Duration) -> Self {
        // A timeout of zero would be none.
        let timeout = timeout.max(Duration::from_millis(1));
        self.confirm = (replicas > 0).then_some((replicas, timeout));
        self
    }

    /// Limits the wait for replicas: a connection without an answer for `silence` counts as dead.
    pub(crate) fn bounded(mut self, silence: Duration) -> Self {
        if let Some((_, timeout)) = &mut self.confirm {
            *timeout = (*timeout).min(silence / 2);
        }
        self
    }

    /// Reads the journal and does not write to it: events of this bus are sent as without one.
    ///
    /// It is the first of two steps to give a running fleet a journal. A bus without a journal does
    /// not receive what others write to it. So first all buses of a namespace are deployed with
    /// this, and then without it. A start in another order fails:
    /// [`StartError::JournalUnread`](crate::StartError::JournalUnread) and
    /// [`JournalMissing`](crate::StartError::JournalMissing).
    pub fn follow_only(mut self) -> Self {
        self.follow_only = true;
        self
    }

    /// Sets whether the start of the bus creates the journal of a namespace that has none: by default,
    /// it does. With `false`, it changes nothing in Redis, and fails with
    /// [`StartError::Refused`](crate::StartError::Refused) because of
    /// [`ConnectError::NoJournal`](crate::ConnectError::NoJournal): for tools that look.
    ///
    /// ```
    /// use tidings::{Bus, ConnectError, Journal, StartError};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let journal = Journal::default().follow_only().create(false);
    /// let started = Bus::builder("memory:no-journal-docs").journal(journal).start().await;
    /// assert!(matches!(
    ///     started,
    ///     Err(StartError::Refused { source: ConnectError::NoJournal, .. })
    /// ));
    /// # }
    /// ```
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }
}
