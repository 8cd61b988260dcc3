//! The trait that the reconciler requires of a replica.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use tokio::time::Instant as Clock;

use crate::keyspace::stamp::Stamp;
use crate::keyspace::value::StampKeys;
use crate::shared::refresh::{Outcome, RefreshState};

/// The copy of this process of a shared value, or its cache of a map.
pub(crate) trait Replica: Send + Sync {
    /// The hash in Redis whose fields `version` and `nonce` are the stamp.
    fn key(&self) -> &str;

    /// Returns the keys that a comparison with Redis reads.
    fn stamp_keys(&self) -> StampKeys {
        StampKeys {
            stamp: self.key().to_owned(),
            entries: None,
        }
    }

    /// The stamp of this replica; `None` if only another read can tell.
    fn stamp(&self) -> Option<Stamp>;

    /// The refresh state, which the reconciler created.
    fn refresh_state(&self) -> &RefreshState;

    /// Records that Redis holds the same stamp.
    fn confirm(&self);

    /// Reads it from Redis again. Only the reconciler calls this, one call at a time, so that no
    /// older answer can overtake a newer one. Returns `Ok` if Redis answered, even with something
    /// that cannot be decoded.
    fn refresh(self: Arc<Self>) -> BoxFuture<'static, Outcome>;

    /// Records that nothing was received since then, so that the replica may be out of date.
    fn became_unreachable(&self, since: Instant);

    /// Sends the writes that Redis has not accepted yet, before the bus ends, and reports those
    /// that it does not accept before the deadline.
    fn flush(self: Arc<Self>, _deadline: Clock) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
