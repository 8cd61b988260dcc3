//! Values that Redis lost: keeps, drops or restores the copy of this process.

use crate::keyspace::stamp::Stamp;
use crate::keyspace::value::{Found, Restoring};
use crate::shared::codec::encoded;
use crate::shared::contained::discard;
use crate::shared::options::{Shareable, WhenLost};
use crate::shared::snapshot::Snapshot;
use crate::shared::value_replica::ValueReplica;

impl<T: Shareable> ValueReplica<T> {
    /// The snapshot after Redis was found to hold nothing.
    pub(super) fn after_loss(&self, known: Option<&Snapshot<T>>) -> Snapshot<T> {
        match known {
            Some(known) => known.after_loss(self.when_lost()),
            None => Snapshot::new(Stamp::default(), None),
        }
    }

    pub(super) fn when_lost(&self) -> WhenLost {
        *self.when_lost.lock()
    }

    /// The copy to restore, if Redis holds this.
    fn to_restore(&self, found: &Found) -> Option<Restoring> {
        let replica = self.snapshot()?;
        let can_be_lost =
            *replica.stamp() != Stamp::default() && replica.after_loss(WhenLost::Restore).is_lost();
        let is_newer = replica.version() > found.stamp.version;
        let is_due = found.is_nothing() || found.is_restored && is_newer;
        if !can_be_lost || !is_due || self.when_lost() != WhenLost::Restore {
            return None;
        }
        let value = match replica.value() {
            Some(value) => {
                let (payload, value) = encoded(&self.name, self.format, &**value).ok()?;
                discard(value, &self.name, &self.reports);
                Some((self.format, payload))
            }
            None => None,
        };
        Some(Restoring {
            name: self.name.to_string(),
            stamp: replica.stamp().clone(),
            value,
        })
    }

    /// Restores the copy if that is due. Returns whether Redis may hold another value now.
    pub(super) async fn restore_if_due(&self, found: &Found) -> bool {
        let Some(replica) = self.to_restore(found) else {
            return false;
        };
        let request = self
            .keyspace
            .request(|keys| keys.restore(&self.key, replica));
        match request.await {
            Ok(_) => true,
            Err(error) => {
                let (shared, reason) = (&*self.name, error.into_reason());
                tracing::warn!(shared, %reason, "cannot restore a shared value that Redis lost");
                false
            }
        }
    }
}
