//! `Shared`: a value that all processes of a namespace share.

use std::fmt;
use std::sync::Arc;

use crate::error::shared::{LoadError, StoreError};

use crate::shared::options::{Shareable, SharedOptions};
use crate::shared::snapshot::Snapshot;
use crate::shared::value_replica::ValueReplica;
use crate::shared::watch::{SharedWatch, watch};

/// A value that all processes of the namespace share. Each process has a copy, which follows
/// every write. Cheap to clone; created by [`Bus::shared`](crate::Bus::shared). It does not keep
/// the bus alive, and is not updated after the bus has ended.
///
/// ```
/// use tidings::prelude::*;
///
/// #[derive(Serialize, Deserialize)]
/// struct Prices { coffee: u32 }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// let bus = Bus::builder("memory:shared-docs").start().await?;
/// let prices = bus.shared::<Prices>("prices")?;
///
/// prices.set(&Prices { coffee: 250 }).await?;
/// prices.update(|old| Prices { coffee: old.map_or(250, |old| old.coffee) + 10 }).await?;
///
/// let now = prices.get().await?;                      // no round trip
/// assert_eq!(now.value().map(|prices| prices.coffee), Some(260));
/// # Ok(()) }
/// ```
///
/// # Freshness
///
/// A process sees its own writes at once. It sees the writes of others when it receives their
/// change notifications. After a reconnect, a failover or a gap, the copies of a bus are compared
/// with Redis at once, and otherwise every 30 s
/// ([`refresh_interval`](crate::BusBuilder::refresh_interval)). While Redis is unreachable, the
/// last value is served and marked as stale ([`Snapshot::freshness`]), and writes fail.
///
/// If Redis loses the value, because it restarted empty, evicted the key, or another program
/// deleted it, each process keeps its last copy by default, marked as
/// [lost](crate::Freshness::Lost); [`SharedOptions::when_lost`] changes that.
///
/// If Redis holds a value of another type or format, the older value stays, [`Snapshot::problem`]
/// says why, and the failure is reported once to [`on_failure`](crate::BusBuilder::on_failure).
///
/// # In Redis
///
/// The value is a hash under the key `tidings:{namespace}:shared:NAME`, with the fields `format`
/// (`json` or `msgpack`), `value`, `version` and `nonce`, and `ttl` if it has a time to live. A
/// cleared value leaves `version` and `nonce` for 7 days. Another program writes it with these
/// commands, with a new nonce each time, 16 random letters and digits:
///
/// ```text
/// MULTI
/// HSET tidings:{shop}:shared:prices format json value '{"coffee":260}' nonce 5b1f09c2aa7e4d13
/// HINCRBY tidings:{shop}:shared:prices version 1
/// PUBLISH tidings:{shop} '{"event":"tidings.shared","data":{"key":"prices"}}'
/// EXEC
/// ```
///
/// Payloads have the limits of an event's: 32 levels and 65,536 values.
pub struct Shared<T> {
    pub(crate) replica: Arc<ValueReplica<T>>,
    pub(crate) options: Arc<SharedOptions>,
}

impl<T: Shareable> Shared<T> {
    /// Returns the name of the value.
    pub fn name(&self) -> &str {
        &self.replica.name
    }

    /// Returns the latest known value. The first call waits until the value has been read, together
    /// with other calls at that time; later calls return at once.
    ///
    /// # Errors
    ///
    /// When the value was never read, and Redis is unreachable, refuses or does not answer, or the
    /// value cannot be decoded. The next call tries again.
    pub async fn get(&self) -> Result<Snapshot<T>, LoadError> {
        match self.peek() {
            Some(snapshot) => Ok(snapshot),
            None => self
                .replica
                .result(self.replica.refresh_state.join_refresh().await),
        }
    }

    /// Returns the latest known value without waiting; `None` if it was never read.
    pub fn peek(&self) -> Option<Snapshot<T>> {
        self.replica.snapshot()
    }

    /// Reads the value from Redis and returns it.
    ///
    /// # Errors
    ///
    /// When Redis is unreachable, refuses or does not answer, or the value cannot be decoded.
    pub async fn refresh(&self) -> Result<Snapshot<T>, LoadError> {
        self.replica
            .result(self.replica.refresh_state.refreshed().await)
    }

    /// Writes the value, replaces the old one and notifies all processes. Returns this value or a
    /// newer one, which [`get`](Self::get) returns from now on, too. If Redis becomes unreachable
    /// right after the write, `get` may return the older value, marked as
    /// [stale](Snapshot::stale_since), until Redis is back. If the future is dropped before its end, the
    /// value may or may not be written.
    ///
    /// # Errors
    ///
    /// When the value cannot be encoded and decoded again; when a foreign value lies under the key;
    /// or when Redis is unreachable, refuses or does not answer: [`StoreError::is_unknown`] says
    /// whether the value may have been written.
    pub async fn set(&self, value: &T) -> Result<Snapshot<T>, StoreError> {
        self.replica.set(value, &self.options).await
    }

    /// Computes a new value from the old one (`None` if there is none), writes it and returns it.
    /// The old value of one that Redis [lost](crate::Freshness::Lost) is the copy of this process.
    /// No change of another process is lost if Redis has it: if one comes first, `change` is called
    /// again with its result.
    ///
    /// Concurrent updates of one process are applied in order and written as one: they have the
    /// same version, and each returns its own value, although only the last one is stored in Redis:
    /// to [`compare_and_set`](Self::compare_and_set), the others are not what Redis has. `change`
    /// runs in a task of the bus and delays other updates of the value. A panic of `change` resumes
    /// in the caller.
    ///
    /// An update fails after 1,000 attempts or the
    /// [`send_timeout`](crate::BusBuilder::send_timeout). If the future is dropped while the update
    /// waits, the update is not made; if it is dropped later, it may be.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:update-docs").start().await?;
    /// let places = bus.shared::<Vec<String>>("places")?;
    /// let now = places.update(|old| {
    ///     let mut places = old.cloned().unwrap_or_default();
    ///     places.push("window".to_owned());
    ///     places
    /// });
    /// assert_eq!(now.await?.value().map(|places| places.len()), Some(1));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set); when the old value cannot be decoded; and when other processes come
    /// first in every attempt.
    ///
    /// # Panics
    ///
    /// If `change` does.
    pub async fn update(
        &self,
        change: impl FnMut(Option<&T>) -> T + Send + 'static,
    ) -> Result<Snapshot<T>, StoreError> {
        self.replica.update(Box::new(change), &self.options).await
    }

    /// Writes the value if Redis still has the expected one, and returns it; otherwise returns what
    /// Redis has. [`update`](Self::update) is for values that can be computed again; this is for those
    /// that a person has decided on, for example in a form. If the future is dropped before its end, the
    /// value may or may not be written.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:compare-and-set-docs").start().await?;
    /// let limit = bus.shared::<u32>("limit")?;
    /// let shown = limit.refresh().await?;
    /// limit.set(&60).await?; // another process writes first
    /// match limit.compare_and_set(&shown, &90).await? {
    ///     Ok(written) => println!("now version {}", written.version()),
    ///     Err(found) => assert_eq!(found.value().map(|limit| **limit), Some(60)),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set), and when the value in Redis cannot be decoded.
    pub async fn compare_and_set(
        &self,
        expected: &Snapshot<T>,
        value: &T,
    ) -> Result<Result<Snapshot<T>, Snapshot<T>>, StoreError> {
        self.replica
            .compare_and_set(expected, value, &self.options)
            .await
    }

    /// Removes the value and notifies all processes. Redis remembers the removal for 7 days, so
    /// that a process that was disconnected does not treat the value as lost. If the future is dropped
    /// before its end, the value may or may not be removed.
    ///
    /// # Errors
    ///
    /// When a foreign value lies under the key, or Redis is unreachable, refuses or does not
    /// answer.
    pub async fn clear(&self) -> Result<(), StoreError> {
        self.replica.clear().await.map(|_| ())
    }

    /// Watches the value for changes. If it was never read, its first read is one.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:watch-docs").start().await?;
    /// let limit = bus.shared::<u32>("limit")?;
    /// limit.set(&1).await?;
    /// let mut changes = limit.watch();
    /// limit.set(&2).await?;
    /// limit.set(&3).await?;
    /// let newest = changes.changed().await.ok_or("the bus has ended")?;
    /// assert_eq!(newest.value().map(|limit| **limit), Some(3));
    /// # Ok(()) }
    /// ```
    pub fn watch(&self) -> SharedWatch<T> {
        let changes = watch(Arc::clone(&self.replica));
        if self.peek().is_none() {
            self.replica.refresh_state.request_refresh();
        }
        changes
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self {
            replica: Arc::clone(&self.replica),
            options: Arc::clone(&self.options),
        }
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.replica.name).finish()
    }
}
