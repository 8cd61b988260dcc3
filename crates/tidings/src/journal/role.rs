//! The reader of a durable name: one process holds the name, the others are standbys.

use std::sync::Arc;
use std::time::Duration;

use tidings_codec::NodeId;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::journal::ledger::Ledger;
use crate::journal::position::Place;
use crate::observe::journal::{DurableRole, JournalMeter};

/// The time after its last renewal at which a lease ends.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

/// A durable name, as a bus uses it.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) name: String,
    pub(crate) me: NodeId,
    /// The retention for this name: the time, and the bytes.
    pub(crate) limits: (Duration, u64),
    pub(crate) role: watch::Sender<Role>,
    /// The last time at which no other process was the holder, as far as this bus knows.
    pub(crate) held_at: watch::Sender<Instant>,
    /// Up to where the handlers have finished.
    pub(crate) ledger: Arc<Ledger>,
    /// Shows the role in the health of the bus.
    meter: Arc<JournalMeter>,
    /// Notified when the handlers have ended: the last place is stored, and the lease ends.
    pub(crate) ending: Notify,
    /// True once that is done, or the task has ended.
    pub(crate) has_ended: watch::Sender<bool>,
}

/// The role of a bus with a durable name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Its handlers get all events from this place on; from the start of the journal if no place is
    /// stored.
    Holder {
        from: Option<Place>,
        /// The nodes that held the name before.
        predecessors: Vec<NodeId>,
    },
    /// Another process is the holder: the node with this id, or `""` if it is not known.
    Standby { holder: String },
}

impl Durable {
    pub(crate) fn new(
        name: String,
        me: NodeId,
        limits: (Duration, u64),
        meter: Arc<JournalMeter>,
    ) -> Self {
        let holder = String::new();
        Self {
            name,
            me,
            limits,
            role: watch::Sender::new(Role::Standby { holder }),
            held_at: watch::Sender::new(Instant::now()),
            ledger: Arc::new(Ledger::new(Place::START)),
            meter,
            ending: Notify::new(),
            has_ended: watch::Sender::new(false),
        }
    }

    /// Sets the role. Returns true if it is another one than before.
    pub(crate) fn set_role(&self, role: &Role) -> bool {
        let shown = match role {
            Role::Holder { .. } => DurableRole::Holder,
            Role::Standby { holder } => DurableRole::Standby {
                holder: holder.parse().ok(),
            },
        };
        self.meter.set_role(&self.name, shown);
        self.role.send_if_modified(|current| {
            let is_other = current != role;
            if is_other {
                current.clone_from(role);
            }
            is_other
        })
    }

    /// Returns true if another process may be the holder although this bus does not know it.
    pub(crate) fn is_overdue(&self) -> bool {
        let is_holder = matches!(*self.role.borrow(), Role::Holder { .. });
        is_holder && self.held_at.borrow().elapsed() >= LEASE
    }

    /// Waits until this bus knows again if another process is the holder. Returns false if nothing will
    /// tell it, because the task that asks has ended.
    pub(crate) async fn knows_role(&self) -> bool {
        let (mut role, mut held_at) = (self.role.subscribe(), self.held_at.subscribe());
        let mut has_ended = self.has_ended.subscribe();
        while self.is_overdue() {
            tokio::select! {
                _ = role.changed() => {}
                _ = held_at.changed() => {}
                _ = has_ended.wait_for(|has_ended| *has_ended) => return false,
            }
        }
        true
    }

    /// Stores the last place and ends the lease, after the handlers have ended.
    pub(crate) async fn end(&self) {
        self.ledger.stop();
        self.ending.notify_one();
        let mut has_ended = self.has_ended.subscribe();
        let _ = has_ended.wait_for(|has_ended| *has_ended).await;
    }
}
