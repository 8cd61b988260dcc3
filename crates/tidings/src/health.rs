//! How the bus is doing: connected or not, since when and why, and what was counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::watch;

/// How a bus is doing at this moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Whether it hears.
    pub connection: Connection,
    /// Where it is connected, or tries to: the address without its password.
    pub address: String,
    /// Events sent and acknowledged.
    pub sent: u64,
    /// Events heard for the first time, this bus's own included, wanted here or not.
    pub heard: u64,
    /// Events that came again and were dropped: retries after an unknown outcome.
    pub repeated: u64,
    /// Events that certainly did not arrive here; each was reported as a gap.
    pub missed: u64,
    /// Events dropped because a handler's queue was full; each was reported as a gap.
    pub overflowed: u64,
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
    /// Not yet.
    Connecting,
    /// Subscribed, and Redis confirmed it.
    Up {
        /// Since when.
        since: Instant,
    },
    /// The connection is lost, and another attempt is under way.
    Down {
        /// Since when.
        since: Instant,
        /// What happened at the last attempt.
        why: String,
    },
    /// Shut down.
    Closed,
}

impl Health {
    /// Whether the bus hears: what a readiness probe asks.
    pub fn is_up(&self) -> bool {
        matches!(self.connection, Connection::Up { .. })
    }
}

/// What the parts of the bus count.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: AtomicU64,
    pub(crate) heard: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) missed: AtomicU64,
    pub(crate) overflowed: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) reconnects: AtomicU64,
}

impl Counts {
    pub(crate) fn add(count: &AtomicU64, more: u64) {
        // Numbers come from strangers, too: a count ends at its largest.
        let sum = |count: u64| Some(count.saturating_add(more));
        let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
    }
}

/// Where the link says how it is, and others look.
#[derive(Debug)]
pub(crate) struct Pulse {
    pub(crate) counts: Arc<Counts>,
    pub(crate) connection: watch::Sender<Connection>,
    pub(crate) address: String,
}

impl Pulse {
    pub(crate) fn new(address: String, counts: Arc<Counts>) -> Self {
        Self {
            counts,
            connection: watch::Sender::new(Connection::Connecting),
            address,
        }
    }

    pub(crate) fn up(&self) {
        let since = Instant::now();
        self.connection.send_replace(Connection::Up { since });
    }

    /// Down since the first of several failures in a row, for the reason of the last.
    pub(crate) fn down(&self, why: String) {
        self.connection.send_modify(|connection| {
            let since = match connection {
                Connection::Down { since, .. } => *since,
                _ => Instant::now(),
            };
            *connection = Connection::Down { since, why };
        });
    }

    pub(crate) fn health(&self, outgoing: usize) -> Health {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Health {
            connection: self.connection.borrow().clone(),
            address: self.address.clone(),
            sent: count(&self.counts.sent),
            heard: count(&self.counts.heard),
            repeated: count(&self.counts.repeated),
            missed: count(&self.counts.missed),
            overflowed: count(&self.counts.overflowed),
            failures: count(&self.counts.failures),
            reconnects: count(&self.counts.reconnects),
            outgoing,
        }
    }
}
