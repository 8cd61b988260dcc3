//! Health of a bus: its connection, and its counters.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::{FutureExt, Stream, StreamExt};
use serde::Serialize;
use tokio::sync::watch;

use crate::observe::connection::Connection;
use crate::observe::journal::{JournalHealth, JournalMeter};
use crate::observe::metrics::{Counter, Level};
use crate::observe::serialize;
use crate::task::milliseconds;

/// The state of a bus at one moment.
///
/// It serializes under the names of its fields, with times as milliseconds ago:
/// `{"connection": {"state": "up", "since": 5210, "server": "…"}, "topology": "standalone",
/// "last_received": 310, …}`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// The state of the connection.
    pub connection: Connection,
    /// The address of the bus, without its password.
    pub address: String,
    /// The kind of that address.
    pub topology: TopologyKind,
    /// The time at which the bus received something last, its own heartbeats included. It sends a
    /// heartbeat when it has received nothing for 5 s
    /// ([`heartbeat_interval`](crate::BusBuilder::heartbeat_interval)).
    #[serde(serialize_with = "serialize::some_ago")]
    pub last_received: Option<Instant>,
    /// Events sent and acknowledged by Redis.
    pub sent: u64,
    /// Events received for the first time, this bus's own included, with a handler here or not.
    pub received: u64,
    /// Events received again and dropped: retries after an unknown outcome.
    pub duplicate: u64,
    /// Gaps reported so far, of all kinds.
    pub gaps: u64,
    /// Events that did not arrive here, where the number is known; each was reported as a gap.
    pub missed: u64,
    /// Events dropped because a handler's queue was full; each was reported as a gap.
    pub dropped: u64,
    /// Failures reported so far: bad frames, bad payloads, handlers that failed.
    pub failures: u64,
    /// Connections made after the first one was lost.
    pub reconnects: u64,
    /// Bytes in the send buffer.
    pub outgoing: usize,
    /// The [journal](crate::Journal) of the bus, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalHealth>,
}

/// The kind of an address: how a bus finds its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TopologyKind {
    /// No server: connects the buses of one process.
    Memory,
    /// One server.
    Standalone,
    /// The master that the sentinels name.
    Sentinel,
    /// The nodes of a Redis Cluster.
    Cluster,
}

impl Health {
    /// Returns `true` if the bus is connected and subscribed, and reads its journal if it has one, for
    /// a readiness probe.
    pub fn is_ready(&self) -> bool {
        let is_up = |connection: &Connection| matches!(connection, Connection::Up { .. });
        let journal = self.journal.as_ref();
        is_up(&self.connection) && journal.is_none_or(|journal| is_up(&journal.connection))
    }
}

/// A [`Stream`] of the changes of [`Health::connection`], from
/// [`Bus::watch_health`](crate::Bus::watch_health).
///
/// A change is that the bus begins to receive, stops receiving, or has another reason why it does
/// not. A further attempt that fails for the same reason is none. A slow reader gets the newest
/// state, not each one before it. The stream ends after the bus was shut down and that was returned.
/// It does not keep the bus alive.
///
/// ```
/// use tidings::prelude::*;
/// use tidings::Connection;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// let bus = Bus::builder("memory:watch").start().await?;
/// let mut changes = bus.watch_health();
/// tokio::spawn(async move {
///     while let Some(health) = changes.changed().await {
///         match health.connection {
///             Connection::Disconnected { why, .. } => eprintln!("not receiving: {why}"),
///             other => eprintln!("{other:?}"),
///         }
///     }
/// });
/// # Ok(()) }
/// ```
pub struct HealthWatch {
    changes: watch::Receiver<Connection>,
    /// Wakes the reader of the stream.
    change: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
    pulse: Arc<HealthState>,
    /// The bytes of each send queue.
    outgoing: Vec<Arc<AtomicUsize>>,
}

impl HealthWatch {
    pub(crate) fn new(pulse: &Arc<HealthState>, outgoing: Vec<Arc<AtomicUsize>>) -> Self {
        Self {
            changes: pulse.connection.subscribe(),
            change: None,
            pulse: Arc::clone(pulse),
            outgoing,
        }
    }

    /// Returns the current state.
    pub fn now(&self) -> Health {
        let bytes = self.outgoing.iter();
        let bytes = bytes.map(|bytes| bytes.load(Ordering::Relaxed)).sum();
        self.pulse.health(bytes)
    }

    /// Waits for the next change and returns the newest state, or `None` once the bus has ended.
    ///
    /// Cancel safe: dropping the future loses no change.
    pub async fn changed(&mut self) -> Option<Health> {
        self.next().await
    }

    /// Waits until `wanted` accepts the state, now or after a change, and returns it, or `None` once
    /// the bus has ended.
    ///
    /// Cancel safe: dropping the future loses no change other than those that `wanted` rejected.
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&Health) -> bool) -> Option<Health> {
        loop {
            self.changes.mark_unchanged();
            let health = self.now();
            if wanted(&health) {
                return Some(health);
            }
            self.changed().await?;
        }
    }
}

impl Clone for HealthWatch {
    fn clone(&self) -> Self {
        Self {
            changes: self.changes.clone(),
            change: None,
            pulse: Arc::clone(&self.pulse),
            outgoing: self.outgoing.clone(),
        }
    }
}

impl Stream for HealthWatch {
    type Item = Health;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Health>> {
        let this = &mut *self;
        while !this.changes.has_changed().unwrap_or(false) {
            if matches!(*this.changes.borrow(), Connection::Closed) {
                return Poll::Ready(None);
            }
            let change = this.change.get_or_insert_with(|| {
                let mut changes = this.changes.clone();
                Box::pin(async move {
                    let _ = changes.changed().await;
                })
            });
            ready!(change.poll_unpin(cx));
            this.change = None;
        }
        this.changes.mark_unchanged();
        Poll::Ready(Some(this.now()))
    }
}

impl fmt::Debug for HealthWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.now().fmt(f)
    }
}

/// The counters of a bus.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) sent: Count,
    pub(crate) received: Count,
    pub(crate) duplicate: Count,
    /// Metrics know them by their reasons.
    pub(crate) gaps: AtomicU64,
    pub(crate) missed: Count,
    pub(crate) dropped: Count,
    /// Metrics know them by their kinds.
    pub(crate) failures: AtomicU64,
    pub(crate) reconnects: Count,
}

/// A counter of this bus, which is added to the metric of the process.
#[derive(Debug)]
pub(crate) struct Count {
    sum: AtomicU64,
    metric: Counter,
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self {
            sent: Count::new("tidings_events_sent_total", "events that Redis took"),
            received: Count::new(
                "tidings_events_received_total",
                "events received for the first time",
            ),
            duplicate: Count::new(
                "tidings_events_duplicate_total",
                "events received again and dropped",
            ),
            gaps: AtomicU64::new(0),
            missed: Count::new("tidings_events_missed_total", "events that did not arrive"),
            dropped: Count::new(
                "tidings_events_dropped_total",
                "events dropped because a handler's queue was full",
            ),
            failures: AtomicU64::new(0),
            reconnects: Count::new(
                "tidings_reconnects_total",
                "how often a lost connection came back",
            ),
        }
    }

    pub(crate) fn add(count: &Count, more: u64) {
        // Numbers come from untrusted input, too: a counter saturates.
        let sum = |count: u64| Some(count.saturating_add(more));
        let before = count
            .sum
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum)
            .unwrap_or_default();
        count.metric.add(more.min(u64::MAX - before));
    }
}

impl Count {
    fn new(metric: &'static str, what: &'static str) -> Self {
        Self {
            sum: AtomicU64::new(0),
            metric: Counter::new(metric, what),
        }
    }

    pub(crate) fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }
}

/// The state that the receive task writes and a [`HealthWatch`] reads.
#[derive(Debug)]
pub(crate) struct HealthState {
    pub(crate) counts: Arc<Counts>,
    pub(crate) connection: watch::Sender<Connection>,
    pub(crate) level: Level,
    pub(crate) address: String,
    topology: TopologyKind,
    pub(crate) journal: Option<Arc<JournalMeter>>,
    began: Instant,
    /// The time of the last frame, in milliseconds after `began`; 0 if there was none.
    received: AtomicU64,
}

impl HealthState {
    pub(crate) fn new(
        address: String,
        topology: TopologyKind,
        counts: Arc<Counts>,
        journal: Option<Arc<JournalMeter>>,
    ) -> Self {
        Self {
            counts,
            connection: watch::Sender::new(Connection::Connecting),
            level: Level::count("tidings_up", "buses of this process that receive"),
            address,
            topology,
            journal,
            began: Instant::now(),
            received: AtomicU64::new(0),
        }
    }

    pub(crate) fn up(&self, server: String, left_out: Vec<String>) {
        let up = Connection::Up {
            since: Instant::now(),
            server,
            left_out,
        };
        self.change(|connection| {
            *connection = up;
            true
        });
    }

    pub(crate) fn disconnected(&self, why: String) {
        self.change(|connection| connection.disconnect(why));
    }

    /// Changes the connection, and then the gauge. Returns true from `change` to tell the readers.
    fn change(&self, change: impl FnOnce(&mut Connection) -> bool) {
        let mut level = None;
        self.connection.send_if_modified(|connection| {
            let has_changed = change(connection);
            // Under the lock, so that the last of several changes is the last of the gauge.
            level = Some(self.level.note(usize::from(self.is_ready_with(connection))));
            has_changed
        });
        if let Some(level) = level {
            self.level.add(level);
        }
    }

    /// Returns true if the bus receives, the events of its journal included.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready_with(&self.connection.borrow())
    }

    fn is_ready_with(&self, connection: &Connection) -> bool {
        let journal = self.journal.as_ref();
        matches!(connection, Connection::Up { .. }) && journal.is_none_or(|journal| journal.is_up())
    }

    /// Tells the readers of the health that the state of the journal has changed.
    pub(crate) fn journal_changed(&self) {
        self.change(|_| true);
    }

    pub(crate) fn received(&self, at: Instant) {
        let after = milliseconds(at.duration_since(self.began)).max(1);
        self.received.store(after, Ordering::Relaxed);
    }

    pub(crate) fn last_received(&self) -> Option<Instant> {
        match self.received.load(Ordering::Relaxed) {
            0 => None,
            after => Some(self.began + Duration::from_millis(after)),
        }
    }

    pub(crate) fn health(&self, outgoing: usize) -> Health {
        Health {
            connection: self.connection.borrow().clone(),
            address: self.address.clone(),
            topology: self.topology,
            last_received: self.last_received(),
            sent: self.counts.sent.sum(),
            received: self.counts.received.sum(),
            duplicate: self.counts.duplicate.sum(),
            gaps: self.counts.gaps.load(Ordering::Relaxed),
            missed: self.counts.missed.sum(),
            dropped: self.counts.dropped.sum(),
            failures: self.counts.failures.load(Ordering::Relaxed),
            reconnects: self.counts.reconnects.sum(),
            outgoing,
            journal: self.journal.as_ref().map(|journal| journal.health()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    #[test]
    fn an_attempt_that_fails_for_the_same_reason_is_no_change() {
        let pulse = HealthState::new(
            "memory:pulse".into(),
            TopologyKind::Memory,
            Arc::new(Counts::new()),
            None,
        );
        let mut changes = pulse.connection.subscribe();
        let mut is_told = |why: &str| {
            pulse.disconnected(why.into());
            let has_changed = changes.has_changed().unwrap();
            changes.mark_unchanged();
            has_changed
        };
        let told = ["refused", "refused", "refused", "no route", "refused"].map(&mut is_told);
        assert_eq!(told, [true, false, false, true, true]);
    }

    fn state() -> Arc<HealthState> {
        let counts = Arc::new(Counts::new());
        let (address, kind) = ("redis://h:6379".to_owned(), TopologyKind::Standalone);
        Arc::new(HealthState::new(address, kind, counts, None))
    }

    #[tokio::test]
    async fn a_stream_of_health_returns_each_change_and_ends_with_the_bus() {
        let state = state();
        let mut changes = HealthWatch::new(&state, Vec::new());
        assert!(changes.next().now_or_never().is_none());
        state.up("redis://h:6379".to_owned(), Vec::new());
        assert!(changes.next().await.unwrap().is_ready());
        assert!(changes.next().now_or_never().is_none());
        state.disconnected("refused".to_owned());
        assert!(!changes.changed().await.unwrap().is_ready());
        assert!(changes.next().now_or_never().is_none());
        state.connection.send_replace(Connection::Closed);
        assert!(changes.next().await.is_some());
        assert!(changes.next().await.is_none());
    }

    #[test]
    fn health_serializes_under_the_names_of_its_fields() {
        let state = state();
        let health = |state: &HealthState| to_value(state.health(8)).unwrap();
        let expected = json!({
            "connection": {"state": "connecting"},
            "address": "redis://h:6379",
            "topology": "standalone",
            "last_received": null,
            "sent": 0,
            "received": 0,
            "duplicate": 0,
            "gaps": 0,
            "missed": 0,
            "dropped": 0,
            "failures": 0,
            "reconnects": 0,
            "outgoing": 8,
        });
        assert_eq!(health(&state), expected);

        state.up("redis://h:6379".to_owned(), Vec::new());
        state.received(Instant::now());
        let up = health(&state);
        assert!(up["last_received"].is_u64(), "{up}");
        let since = &up["connection"]["since"];
        assert!(since.is_u64(), "{up}");
        let expected = json!({
            "state": "up", "since": since, "server": "redis://h:6379", "left_out": [],
        });
        assert_eq!(up["connection"], expected);

        state.disconnected("refused".to_owned());
        let lost = health(&state);
        assert_eq!(lost["connection"]["state"], "disconnected");
        assert_eq!(lost["connection"]["why"], "refused");
    }
}
