//! What becomes of the copy here of a value that Redis lost: it is kept, dropped or written back.

use std::sync::PoisonError;
use std::time::Duration;

use crate::keyspace::Keyspace;
use crate::keyspace::answer::KeyError;
use crate::keyspace::stamp::Stamp;
use crate::keyspace::value::{Found, Restoring};
use crate::shared::contained::discard;
use crate::shared::options::WhenLost;
use crate::shared::reconciler::in_time;
use crate::shared::shareable::Shareable;
use crate::shared::snapshot::Snapshot;
use crate::shared::value_replica::ValueReplica;
use crate::shared::write::encoded;

impl<T: Shareable> ValueReplica<T> {
    /// What is here when Redis holds nothing, although it held this.
    pub(super) fn gone(&self, known: Option<&Snapshot<T>>) -> Snapshot<T> {
        let Some(known) = known else {
            return Snapshot::new(Stamp::default(), None);
        };
        let gone = known.gone(self.when_lost());
        if gone.is_lost() && !known.is_lost() {
            tracing::warn!(shared = %self.name, version = known.version(), "Redis lost a shared value");
        }
        gone
    }

    pub(super) fn when_lost(&self) -> WhenLost {
        *self
            .when_lost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The copy that is to be written back when Redis holds this.
    fn to_restore(&self, found: &Found) -> Option<Restoring> {
        let replica = self.snapshot()?;
        let can_be_lost =
            *replica.stamp() != Stamp::default() && replica.gone(WhenLost::Restore).is_lost();
        let is_newer = replica.version() > found.stamp().version;
        let is_due = match found {
            Found::Nothing => true,
            Found::Cleared { .. } | Found::Value(_) => found.is_restored() && is_newer,
        };
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

    /// Writes the copy back where that is due; whether Redis may hold something else now.
    pub(super) async fn restored(
        &self,
        keyspace: &dyn Keyspace,
        found: &Found,
        patience: Duration,
    ) -> bool {
        let Some(replica) = self.to_restore(found) else {
            return false;
        };
        let restoring = async {
            let restoring = keyspace.restore(&self.key, replica).await;
            restoring.map_err(KeyError::into_reason)
        };
        match in_time(patience, restoring).await {
            Ok(_) => true,
            Err(reason) => {
                let shared = &*self.name;
                tracing::warn!(shared, %reason, "a value that Redis lost was not written back");
                false
            }
        }
    }
}
