//! Health of a journal: how far it reaches, and how far this bus has read it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tidings_codec::NodeId;

use crate::event::position::JournalPosition;
use crate::observe::connection::Connection;
use crate::observe::metrics::{Counter, Level};
use crate::task::mutex::Mutex;

/// The [journal](crate::Journal) as a bus sees it, a part of its [`Health`](crate::Health).
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct JournalHealth {
    /// The state of the connections to the journal.
    pub connection: Connection,
    /// The position of the last entry that the bus has read.
    pub position: JournalPosition,
    /// The last entry of the journal when the bus looked last: every second while it sends, and
    /// otherwise every 20 s.
    pub newest: JournalPosition,
    /// The oldest position that the journal reaches back to, at the same time.
    pub oldest: JournalPosition,
    /// The memory of Redis that it used, in bytes, at the same time.
    pub bytes: u64,
    /// The [durable name](crate::Journal::durable) of the bus, if it has one.
    pub durable: Option<DurableHealth>,
}

/// The [durable name](crate::Journal::durable) of a bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DurableHealth {
    /// The name.
    pub name: String,
    /// Whether the bus reads for it.
    pub role: DurableRole,
}

/// The role of a bus with a [durable name](crate::Journal::durable).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum DurableRole {
    /// Its handlers receive all events.
    Holder,
    /// Its handlers receive only requests, and events that are sent to its own node or role.
    Standby {
        /// The bus whose handlers receive all events; `None` while Redis rejects the lease.
        holder: Option<NodeId>,
    },
}

impl JournalHealth {
    /// Returns how far the bus is behind: the time between the last entry that it has read and the
    /// last one of the journal.
    pub fn behind(&self) -> Duration {
        between(self.position, self.newest)
    }

    /// Returns how far the journal reaches back: the time before its last entry within which no event
    /// was removed. A bus that is behind by more than that misses events. Until a limit of size removes
    /// events, it is about [`max_age`](crate::Journal::max_age), even if the journal is new.
    pub fn reach(&self) -> Duration {
        between(self.oldest, self.newest)
    }
}

fn between(from: JournalPosition, to: JournalPosition) -> Duration {
    Duration::from_millis(to.ms.saturating_sub(from.ms))
}

/// The state that the tasks of a journal write and [`JournalHealth`] shows.
#[derive(Debug)]
pub(crate) struct JournalMeter {
    connection: Mutex<Connection>,
    /// The milliseconds and the number of the position.
    position: (AtomicU64, AtomicU64),
    looked: Mutex<Look>,
    durable: Mutex<Option<DurableHealth>>,
    entries_read: Counter,
    /// The number of comparisons of the position with the journal.
    pub(crate) resyncs: Counter,
    pub(crate) trims: Counter,
    bytes: Level,
    behind: Level,
    reach: Level,
}

/// The extent of a journal at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    pub(crate) oldest: JournalPosition,
    pub(crate) newest: JournalPosition,
    pub(crate) bytes: u64,
}

impl JournalMeter {
    pub(crate) fn new() -> Self {
        Self {
            connection: Mutex::new(Connection::Connecting),
            position: Default::default(),
            looked: Mutex::default(),
            durable: Mutex::default(),
            entries_read: Counter::new(
                "tidings_journal_entries_read_total",
                "entries read from the journal",
            ),
            resyncs: Counter::new(
                "tidings_journal_resyncs_total",
                "how often the position was compared with the journal",
            ),
            trims: Counter::new(
                "tidings_journal_trims_total",
                "how often this process removed entries",
            ),
            bytes: Level::bytes(
                "tidings_journal_bytes",
                "memory of Redis that the journal uses",
            ),
            behind: Level::seconds(
                "tidings_journal_behind_seconds",
                "time between the last entry read and the last one of the journal",
            ),
            reach: Level::seconds(
                "tidings_journal_reach_seconds",
                "time before the last entry of the journal within which no event was removed",
            ),
        }
    }

    pub(crate) fn up(&self, server: String) {
        let since = Instant::now();
        let left_out = Vec::new();
        *self.connection.lock() = Connection::Up {
            since,
            server,
            left_out,
        };
    }

    /// Sets the connection to disconnected, for this reason. Returns true if that is a change.
    pub(crate) fn disconnected(&self, why: String) -> bool {
        self.connection.lock().disconnect(why)
    }

    pub(crate) fn close(&self) {
        *self.connection.lock() = Connection::Closed;
        self.bytes.set(0);
        self.behind.set(0);
        self.reach.set(0);
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(*self.connection.lock(), Connection::Up { .. })
    }

    /// The bus has read these entries, up to this position. Only the task that follows the journal calls
    /// this.
    pub(crate) fn read(&self, entries: usize, position: JournalPosition) {
        self.entries_read.add(entries as u64);
        self.position.0.store(position.ms, Ordering::Relaxed);
        self.position.1.store(position.number, Ordering::Relaxed);
    }

    pub(crate) fn looked(&self, look: Look) {
        *self.looked.lock() = look;
        let health = self.health();
        self.bytes
            .set(usize::try_from(health.bytes).unwrap_or(usize::MAX));
        self.behind.set_time(health.behind());
        self.reach.set_time(health.reach());
    }

    pub(crate) fn set_role(&self, name: &str, role: DurableRole) {
        let name = name.to_owned();
        *self.durable.lock() = Some(DurableHealth { name, role });
    }

    pub(crate) fn health(&self) -> JournalHealth {
        let look = *self.looked.lock();
        let position = JournalPosition {
            ms: self.position.0.load(Ordering::Relaxed),
            number: self.position.1.load(Ordering::Relaxed),
        };
        JournalHealth {
            connection: self.connection.lock().clone(),
            position,
            newest: look.newest.max(position),
            oldest: look.oldest,
            bytes: look.bytes,
            durable: self.durable.lock().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_fails_for_the_same_reason_has_not_changed() {
        let meter = JournalMeter::new();
        let changes = ["refused", "refused", "no route"].map(|why| meter.disconnected(why.into()));
        assert_eq!(changes, [true, false, true]);
    }

    #[test]
    fn the_health_tells_how_far_the_bus_is_behind_and_how_far_the_journal_reaches() {
        let meter = JournalMeter::new();
        meter.read(1, JournalPosition::at(7_000));
        let (oldest, newest) = (JournalPosition::at(1_000), JournalPosition::at(9_000));
        meter.looked(Look {
            oldest,
            newest,
            bytes: 64,
        });
        let health = meter.health();
        assert_eq!(health.behind(), Duration::from_secs(2));
        assert_eq!(health.reach(), Duration::from_secs(8));
        // It has read on since the last look.
        meter.read(1, JournalPosition::at(9_500));
        assert_eq!(meter.health().behind(), Duration::ZERO);
    }
}
