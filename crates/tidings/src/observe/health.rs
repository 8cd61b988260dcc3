//! How the bus is doing: connected or not, since when and why, and what was counted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::observe::metrics::{Counter, Level};

/// How a bus is doing at this moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Whether it hears.
    pub connection: Connection,
    /// Where it is connected, or tries to: the address without its password.
    pub address: String,
    /// How the right server is found there.
    pub topology: TopologyKind,
    /// When something was heard last, the bus's own signs of life included. A bus that hears
    /// nothing for 5 s ([`heartbeat_interval`](crate::BusBuilder::heartbeat_interval)) asks whether it still
    /// hears.
    pub last_received: Option<Instant>,
    /// Events sent and acknowledged.
    pub sent: u64,
    /// Events heard for the first time, this bus's own included, wanted here or not.
    pub received: u64,
    /// Events that came again and were dropped: retries after an unknown outcome.
    pub duplicate: u64,
    /// Gaps reported so far, of all kinds.
    pub gaps: u64,
    /// Events that certainly did not arrive here; each was reported as a gap.
    pub missed: u64,
    /// Events dropped because a handler's queue was full; each was reported as a gap.
    pub dropped: u64,
    /// Failures reported: bad frames, bad payloads, handlers that failed.
    pub failures: u64,
    /// How often the connection was lost and came back.
    pub reconnects: u64,
    /// Bytes that wait for Redis to take them.
    pub outgoing: usize,
}

/// Whether a bus hears.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Connection {
    /// Not yet: the bus is being started. Only [`Handler::check`](crate::Handler::check) and
    /// [`FromContext::check`](crate::FromContext::check) can see this: `start()` returns a bus that
    /// hears.
    Connecting,
    /// Subscribed, and Redis confirmed it.
    Up {
        /// Since when.
        since: Instant,
        /// Which server it is.
        server: String,
    },
    /// The connection is lost, or the server is not the right one any more; another attempt is
    /// under way.
    Disconnected {
        /// Since when that is known.
        since: Instant,
        /// What happened at the last attempt.
        why: String,
    },
    /// Shut down.
    Closed,
}

/// How a bus finds the right server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopologyKind {
    /// No server: the buses of one process.
    Memory,
    /// One server, always the same.
    Standalone,
    /// The one that the sentinels name.
    Sentinel,
}

impl Health {
    /// Whether the bus hears: what a readiness probe asks.
    pub fn is_ready(&self) -> bool {
        matches!(self.connection, Connection::Up { .. })
    }
}

/// Tells when the health of a bus changes: [`Bus::watch_health`](crate::Bus::watch_health).
///
/// ```
/// use tidings::prelude::*;
/// use tidings::Connection;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bus = Bus::builder("memory:watch").start().await?;
/// let mut changes = bus.watch_health();
/// tokio::spawn(async move {
///     while let Some(health) = changes.changed().await {
///         match health.connection {
///             Connection::Disconnected { why, .. } => eprintln!("we hear nothing: {why}"),
///             other => eprintln!("{other:?}"),
///         }
///     }
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HealthWatch {
    changes: watch::Receiver<Connection>,
    pulse: Arc<HealthState>,
    outgoing: Arc<AtomicUsize>,
}

impl HealthWatch {
    pub(crate) fn new(pulse: &Arc<HealthState>, outgoing: Arc<AtomicUsize>) -> Self {
        Self {
            changes: pulse.connection.subscribe(),
            pulse: Arc::clone(pulse),
            outgoing,
        }
    }

    /// How the bus is doing now.
    pub fn now(&self) -> Health {
        self.pulse.health(self.outgoing.load(Ordering::Relaxed))
    }

    /// Waits until [`connection`](Health::connection) differs: the bus begins to receive, stops
    /// receiving, or learns another reason why it does not. A further attempt that fails for the
    /// same reason is no change. Changes that nobody waited for are told as one. `None` once the bus is shut down and that
    /// was told.
    pub async fn changed(&mut self) -> Option<Health> {
        if matches!(*self.changes.borrow(), Connection::Closed) && !self.has_changed() {
            return None;
        }
        self.changes.changed().await.ok()?;
        Some(self.now())
    }

    /// Waits until the bus is as `wanted` says, and looks at each change. `None` when it is shut
    /// down before.
    pub async fn wait_for(&mut self, wanted: impl Fn(&Health) -> bool) -> Option<Health> {
        loop {
            self.changes.mark_unchanged();
            let health = self.now();
            if wanted(&health) {
                return Some(health);
            }
            self.changed().await?;
        }
    }

    fn has_changed(&self) -> bool {
        self.changes.has_changed().unwrap_or(false)
    }
}

impl fmt::Debug for HealthWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.now().fmt(f)
    }
}

/// What the parts of the bus count.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) sent: Count,
    pub(crate) received: Count,
    pub(crate) duplicate: Count,
    pub(crate) gaps: Count,
    pub(crate) missed: Count,
    pub(crate) dropped: Count,
    /// Metrics know them by their kinds.
    pub(crate) failures: AtomicU64,
    pub(crate) reconnects: Count,
}

/// A count of this bus, and what it adds to the metrics of the process.
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
                "events heard for the first time",
            ),
            duplicate: Count::new("tidings_events_duplicate_total", "events that came again"),
            gaps: Count::new("tidings_gaps_total", "gaps that were reported"),
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
        // Numbers come from strangers, too: a count ends at its largest.
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

/// Where the link says how it is, and others look.
#[derive(Debug)]
pub(crate) struct HealthState {
    pub(crate) counts: Arc<Counts>,
    pub(crate) connection: watch::Sender<Connection>,
    pub(crate) level: Level,
    pub(crate) address: String,
    topology: TopologyKind,
    began: Instant,
    /// When something was heard last, in milliseconds after the beginning; 0 for never.
    received: AtomicU64,
}

impl HealthState {
    pub(crate) fn new(address: String, topology: TopologyKind, counts: Arc<Counts>) -> Self {
        Self {
            counts,
            connection: watch::Sender::new(Connection::Connecting),
            level: Level::of_receiving(),
            address,
            topology,
            began: Instant::now(),
            received: AtomicU64::new(0),
        }
    }

    pub(crate) fn up(&self, server: String) {
        let since = Instant::now();
        self.connection
            .send_replace(Connection::Up { since, server });
        self.level.set(1);
    }

    /// Deaf since the first of several failures in a row, for the reason of the last.
    pub(crate) fn disconnected(&self, why: String) {
        self.level.set(0);
        self.connection.send_if_modified(|connection| {
            let since = match connection {
                Connection::Disconnected { since, .. } => *since,
                _ => Instant::now(),
            };
            let now = Connection::Disconnected { since, why };
            let has_changed = *connection != now;
            *connection = now;
            has_changed
        });
    }

    pub(crate) fn received(&self, at: Instant) {
        let after = at.duration_since(self.began).as_millis().max(1);
        self.received
            .store(u64::try_from(after).unwrap_or(u64::MAX), Ordering::Relaxed);
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
            gaps: self.counts.gaps.sum(),
            missed: self.counts.missed.sum(),
            dropped: self.counts.dropped.sum(),
            failures: self.counts.failures.load(Ordering::Relaxed),
            reconnects: self.counts.reconnects.sum(),
            outgoing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_fails_for_the_same_reason_is_no_change() {
        let pulse = HealthState::new(
            "memory:pulse".into(),
            TopologyKind::Memory,
            Arc::new(Counts::new()),
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
}
