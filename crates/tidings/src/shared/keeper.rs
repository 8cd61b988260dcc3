//! Keeps what a bus has of shared values as true as Redis: one task for all of them.
//!
//! A copy is never older than the last notice heard of it, else than the last reconnect or gap, else
//! than the last check, once in [`EVERY`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use crate::transport::keyspace::Keyspace;

/// How often all copies are compared with Redis, before chance changes it by a fifth.
pub(crate) const EVERY: Duration = Duration::from_secs(30);

/// Which writing a value is from. Two are the same or not; none is greater: a failover can take a
/// version back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// How many times it was written; 0 for what is not there.
    pub(crate) version: u64,
    /// The writer's random mark; empty for what is not there.
    pub(crate) nonce: String,
}

/// What this process has of something that is shared: one value, or the cache of a map.
pub(crate) trait Copy: Send + Sync {
    /// The hash in Redis whose fields `version` and `nonce` are its stamp.
    fn key(&self) -> &str;

    /// The stamp of what is here.
    fn stamp(&self) -> Stamp;

    /// Redis holds the same.
    fn confirm(&self);

    /// Redis holds something else, or may: reads it again. Only the keeper calls this, one call at a
    /// time, so no older answer can come after a newer one.
    fn refresh(self: Arc<Self>, keyspace: Arc<dyn Keyspace>) -> BoxFuture<'static, ()>;

    /// Nothing has been heard since then: what is here may be old.
    fn went_away(&self, since: Instant);
}
