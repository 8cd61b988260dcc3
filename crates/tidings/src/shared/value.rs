//! Values that all processes share: written once, seen everywhere.

use std::fmt;
use std::sync::Arc;

use crate::error::shared::{LoadError, StoreError};

use crate::shared::options::SharedOptions;
use crate::shared::shareable::Shareable;
use crate::shared::snapshot::Snapshot;
use crate::shared::value_replica::ValueReplica;
use crate::shared::watch::SharedWatch;

/// A value that all processes of the namespace share: each has a copy of it, which follows what any
/// of them writes. Cheap to clone; [`Bus::shared`](crate::Bus::shared) gives it. It does not keep the
/// bus alive, and nothing follows after that.
///
/// ```
/// use tidings::prelude::*;
///
/// #[derive(Serialize, Deserialize)]
/// struct Prices { coffee: u32 }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bus = Bus::builder("memory:shared-docs").start().await?;
/// let prices = bus.shared::<Prices>("prices")?;
///
/// prices.set(&Prices { coffee: 250 }).await?;
/// prices.update(|old| Prices { coffee: old.map_or(250, |old| old.coffee) + 10 }).await?;
///
/// let now = prices.get().await?;                      // no round trip
/// assert_eq!(now.value().map(|prices| prices.coffee), Some(260));
/// # Ok(())
/// # }
/// ```
///
/// # How new a copy is
///
/// What a process has written, it sees. Of what others write, a copy is as new as the last notice
/// that was heard of it; after a reconnect, a failover or a gap it is compared with Redis at once,
/// and otherwise every 30 s ([`refresh_interval`](crate::BusBuilder::refresh_interval)), together with all
/// other copies of the bus. While Redis is unreachable, the last value is served and says so
/// ([`Snapshot::freshness`]), and nothing can be written.
///
/// When Redis loses the value, because it restarted empty, evicted the key, or another program deleted
/// it, each process keeps its last copy by default, and the copy says that it is
/// [lost](crate::Freshness::Lost); [`SharedOptions::when_lost`] chooses otherwise.
///
/// A value that Redis holds and that cannot be read here, because its type or format is another,
/// changes nothing: the older value stays, says so ([`Snapshot::problem`]), and the failure is
/// reported once to [`on_failure`](crate::BusBuilder::on_failure).
///
/// # How it lies in Redis
///
/// As a hash under the key `tidings:{namespace}:shared:NAME`, with the fields `format` (`json` or
/// `msgpack`), `value`, `version` and `nonce`, and `ttl` where it has a time to live. A value that was
/// cleared leaves `version` and `nonce` for 7 days. `redis-cli` can read it. Another program writes it
/// with these commands, with a new nonce each time, 16 random letters and digits:
///
/// ```text
/// MULTI
/// HSET tidings:{shop}:shared:prices format json value '{"coffee":260}' nonce 5b1f09c2aa7e4d13
/// HINCRBY tidings:{shop}:shared:prices version 1
/// PUBLISH tidings:{shop} '{"event":"tidings.shared","data":{"key":"prices"}}'
/// EXEC
/// ```
///
/// Payloads keep to the bounds of an event's: 32 levels, 65,536 values.
pub struct Shared<T> {
    pub(crate) replica: Arc<ValueReplica<T>>,
    pub(crate) sharing: Arc<SharedOptions>,
}

impl<T: Shareable> Shared<T> {
    /// The name that it was asked for with.
    pub fn name(&self) -> &str {
        &self.replica.name
    }

    /// The value as far as it is known here. Only the first call waits, for the value to be read;
    /// those that come meanwhile wait for the same answer. Later ones are ready at once.
    ///
    /// # Errors
    ///
    /// When it could not be read yet: Redis is away, refuses it or does not answer, or what it holds
    /// cannot be read. The next call tries again.
    pub async fn get(&self) -> Result<Snapshot<T>, LoadError> {
        match self.peek() {
            Some(snapshot) => Ok(snapshot),
            None => self
                .replica
                .result(self.replica.refresh_state.joined().await),
        }
    }

    /// What is here, without any wait; `None` where nothing was read yet.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:peek-docs").start().await?;
    /// let limit = bus.shared::<u32>("limit")?;
    /// assert!(limit.peek().is_none());
    /// limit.get().await?;
    /// assert!(limit.peek().is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn peek(&self) -> Option<Snapshot<T>> {
        self.replica.snapshot()
    }

    /// Asks Redis.
    ///
    /// # Errors
    ///
    /// When Redis is away, refuses it or does not answer, or what it holds cannot be read.
    pub async fn refresh(&self) -> Result<Snapshot<T>, LoadError> {
        self.replica
            .result(self.replica.refresh_state.refreshed().await)
    }

    /// Writes it, whatever is there, and tells all processes. What is returned is this value or a newer
    /// one, and so is what [`get`](Self::get) says from now on; but where Redis goes away right after
    /// it was written, `get` says the one before, as [stale](Snapshot::stale_since), until it is back.
    ///
    /// # Errors
    ///
    /// When the value cannot be written, or not be read again; when something else lies under the
    /// key; or when Redis is away, refuses it or does not answer: [`StoreError::is_unknown`] says
    /// whether it may have been written all the same.
    pub async fn set(&self, value: &T) -> Result<Snapshot<T>, StoreError> {
        self.replica.set(value, &self.sharing).await
    }

    /// Makes a new value of the old one, which is `None` where there is none, and returns it. Of a
    /// value that Redis [lost](crate::Freshness::Lost), the old one is the copy of this process. No
    /// change of others is lost: where another process was faster, `change` is called again with what
    /// that made of it.
    ///
    /// Updates of one process that wait together are made one after the other and written as one:
    /// they have one version, and each returns the value that it made, although only the last of them
    /// was ever in Redis. `change` runs in a task of the bus, and other updates of the value wait
    /// meanwhile; if it panics, so does this.
    ///
    /// It gives up after 1,000 attempts, or [`send_timeout`](crate::BusBuilder::send_timeout). One that
    /// is dropped while it waits is not made; later, it may be.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:update-docs").start().await?;
    /// let places = bus.shared::<Vec<String>>("places")?;
    /// let now = places.update(|old| {
    ///     let mut places = old.cloned().unwrap_or_default();
    ///     places.push("window".to_owned());
    ///     places
    /// });
    /// assert_eq!(now.await?.value().map(|places| places.len()), Some(1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set); when the old value cannot be read; and when others were faster each
    /// time.
    ///
    /// # Panics
    ///
    /// If `change` does.
    pub async fn update(
        &self,
        change: impl FnMut(Option<&T>) -> T + Send + 'static,
    ) -> Result<Snapshot<T>, StoreError> {
        self.replica.update(Box::new(change), &self.sharing).await
    }

    /// Removes the value, and tells all processes. Redis remembers that for 7 days: a process that was
    /// disconnected meanwhile does not take the value for lost.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:clear-docs").start().await?;
    /// let limit = bus.shared::<u32>("limit")?;
    /// limit.set(&100).await?;
    /// limit.clear().await?;
    /// assert!(limit.get().await?.value().is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When something else lies under the key, or Redis is away, refuses it or does not answer.
    pub async fn clear(&self) -> Result<(), StoreError> {
        self.replica.clear().await.map(|_| ())
    }

    /// The changes from now on. Where nothing was read yet, the first reading is one.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:watch-docs").start().await?;
    /// let limit = bus.shared::<u32>("limit")?;
    /// limit.set(&1).await?;
    /// let mut changes = limit.watch();
    /// limit.set(&2).await?;
    /// limit.set(&3).await?;
    /// let newest = changes.changed().await.ok_or("the bus has ended")?;
    /// assert_eq!(newest.value().map(|limit| **limit), Some(3));
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self) -> SharedWatch<T> {
        let changes = SharedWatch::new(Arc::clone(&self.replica));
        if self.peek().is_none() {
            self.replica.refresh_state.behind();
        }
        changes
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self {
            replica: Arc::clone(&self.replica),
            sharing: Arc::clone(&self.sharing),
        }
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.replica.name).finish()
    }
}
