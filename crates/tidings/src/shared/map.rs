//! `SharedMap`: many small values in Redis, with a cache in each process.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::hash::Hash;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use crate::error::shared::{GetOrLoadError, LoadError, StoreError};
use crate::shared::options::Shareable;

pub(crate) mod cache;
pub(crate) mod changed;
pub(crate) mod entry;
pub(crate) mod invalidate;
pub(crate) mod invalidations;
pub(crate) mod loader;
pub(crate) mod options;
pub(crate) mod page;
pub(crate) mod replica;
pub(crate) mod single_flight;
pub(crate) mod stamps;
pub(crate) mod watch;
pub(crate) mod watchers;
pub(crate) mod write;

use crate::shared::map::page::MapPage;
use crate::shared::map::replica::MapReplica;
use crate::shared::map::watch::{EntryWatch, MapWatch};

/// Many small values in Redis, shared by all processes of the namespace and cached in each of them.
/// Cheap to clone; created by [`Bus::map`](crate::Bus::map).
///
/// Every change sends a notification that removes the entry from every cache. If a notification is
/// lost in an outage or a gap, the map's stamp in Redis shows it: it is compared after a reconnect
/// or gap, and otherwise every 30 s ([`refresh_interval`](crate::BusBuilder::refresh_interval)). A
/// cache that differs is emptied, and so is one with entries that Redis has lost. While Redis is
/// unreachable, cached entries are served until their [time to live](crate::MapOptions::ttl) ends,
/// [`stale_since`](Self::stale_since) says so, and other reads fail at once.
///
/// ```
/// use tidings::prelude::*;
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct User { name: String }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// let bus = Bus::builder("memory:map-docs").start().await?;
/// let users = bus.map::<u64, User>("users")?;
/// users.set(&7, &User { name: "Ada".into() }).await?;
///
/// let ada = users.get(&7).await?.expect("it was set");
/// assert_eq!(ada.name, "Ada");
/// assert_eq!(users.get(&8).await?, None);
/// # Ok(()) }
/// ```
///
/// # As a cache
///
/// If the source of truth is elsewhere, [`get_or_load`](Self::get_or_load) loads an entry that is
/// not in the map, once for all tasks of a process that want it. [`invalidate`](Self::invalidate)
/// removes it everywhere and discards what a running loader returns for it. An invalidation
/// outlasts an outage of Redis. In every case a loaded entry is used for at most 5 minutes, its
/// default [time to live](crate::MapOptions::ttl).
///
/// # In Redis
///
/// The entries are the fields of the hash `tidings:{namespace}:map:NAME`, each `FORMAT VERSION
/// NONCE PAYLOAD`, such as `json 3 9f8a6c0d1e2b3a4f {"name":"Ada"}`. In an entry with a time to
/// live, the version is followed by its end in milliseconds of Redis's clock: `3@1764385800000`.
/// The format `none` has no payload and says that there is no value. The field is the key as text,
/// at most 1 KiB. The hash expires with the last of its entries, unless one of them has no time to
/// live. The hash `tidings:{namespace}:map-stamp:NAME` has the `version` and the `nonce` of the
/// last change of any entry, and in `until` the end of the entries; `…:map-leases:NAME` has the
/// leases of running loaders and expires by itself.
///
/// Another program changes an entry with these commands, with random letters and digits instead of
/// `NONCE`:
///
/// ```text
/// MULTI
/// HSET tidings:{shop}:map:users 7 'json 1 NONCE {"name":"Ada"}'
/// HDEL tidings:{shop}:map-leases:users 7
/// HINCRBY tidings:{shop}:map-stamp:users version 1
/// HSET tidings:{shop}:map-stamp:users nonce NONCE until never
/// PERSIST tidings:{shop}:map:users
/// PUBLISH tidings:{shop} '{"event":"tidings.map","data":{"map":"users","key":"7"}}'
/// EXEC
/// ```
///
/// It removes an entry with `HDEL tidings:{shop}:map:users 7` instead of the first `HSET`. Such a
/// change does not name the stamp before it, so it empties the caches of all processes.
pub struct SharedMap<K, V> {
    pub(crate) replica: Arc<MapReplica<K, V>>,
}

impl<K, V> SharedMap<K, V>
where
    K: Display + FromStr + Eq + Hash + Clone + Send + Sync + 'static,
    V: Shareable,
{
    /// Returns the name of the map.
    pub fn name(&self) -> &str {
        &self.replica.keys.name
    }

    /// Returns the entry, if there is one: from the cache, or else with one read for all tasks that
    /// want it at the same time. The absence of an entry is cached, too.
    ///
    /// # Errors
    ///
    /// When the entry cannot be decoded, or is not cached and Redis is unreachable, refuses or does
    /// not answer.
    pub async fn get(&self, key: &K) -> Result<Option<Arc<V>>, LoadError> {
        self.replica.read(key).await?.value
    }

    /// Returns the entry, if it is cached.
    pub fn peek(&self, key: &K) -> Option<Arc<V>> {
        self.replica.peek(key)?.value.ok()?
    }

    /// Writes an entry and replaces the old one.
    ///
    /// # Errors
    ///
    /// When the value cannot be encoded and decoded again, or Redis is unreachable, refuses or does
    /// not answer: [`StoreError::is_unknown`] says whether it may have been written. When it waits in
    /// vain for an earlier change of an entry whose invalidation Redis has not confirmed.
    pub async fn set(&self, key: &K, value: &V) -> Result<(), StoreError> {
        self.replica.set(key, value).await
    }

    /// Computes a new entry from the old one, writes it and returns it. If another process changes
    /// the entry at the same time, `new` is called again with that change: none is lost. Updates of
    /// one entry by one process run one after the other: a future that was polled once and is then
    /// held delays the others, and some updates of other entries.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:map-update-docs").start().await?;
    /// let stock = bus.map::<String, u32>("stock")?;
    /// let apples = "apples".to_owned();
    /// let left = stock.update(&apples, |old| old.copied().unwrap_or(0) + 10).await?;
    /// assert_eq!(*left, 10);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set); when the old entry cannot be decoded; when others change it in each
    /// of 1,000 attempts, or until the [`send_timeout`](crate::BusBuilder::send_timeout); and when
    /// an earlier change by this process does not end within that time.
    ///
    /// # Panics
    ///
    /// If `new` does.
    pub async fn update(
        &self,
        key: &K,
        new: impl FnMut(Option<&V>) -> V,
    ) -> Result<Arc<V>, StoreError> {
        let updating = self.replica.update(key, new);
        self.replica.keyspace.in_runtime(updating).await
    }

    /// Removes an entry, as [`invalidate`](Self::invalidate) does, but fails at once if Redis is
    /// unreachable.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn remove(&self, key: &K) -> Result<(), StoreError> {
        self.replica.remove(key).await
    }

    /// Invalidates an entry because its source of truth was changed: removes it from Redis and from
    /// every process, and discards what a running loader returns for it.
    ///
    /// An invalidation outlasts an outage. This process does not use the entry from the call on. If
    /// Redis is unreachable, refuses, or does not answer within the
    /// [`send_timeout`](crate::BusBuilder::send_timeout), the call still returns `Ok`, and a task
    /// repeats the invalidation until Redis accepts it, also after the future was dropped. Until
    /// then [`get_or_load`](Self::get_or_load) calls its loader each time and stores nothing, and
    /// [`pending_invalidations`](Self::pending_invalidations) counts the invalidation. Other
    /// processes may use the entry until then, but never longer than its [time to
    /// live](crate::MapOptions::ttl).
    ///
    /// A repeated invalidation also removes what a `set`, `update` or loader of this process wrote
    /// that was in progress at the call. A `set` or `update` after the call stays, however late the
    /// invalidation is repeated.
    ///
    /// At most 10,000 keys wait to be sent again; beyond that the whole map is invalidated, and all
    /// its entries are removed from Redis. `shutdown` sends pending invalidations until its
    /// deadline, and reports the rest as
    /// [`Failure::Invalidation`](crate::Failure::Invalidation).
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # async fn write_to_the_database(id: u64, name: &str) -> std::io::Result<()> { Ok(()) }
    /// # let bus = Bus::builder("memory:map-invalidate-docs").start().await?;
    /// let names = bus.map::<u64, String>("names")?;
    /// write_to_the_database(7, "Ada").await?;
    /// names.invalidate(&7).await?;
    /// assert_eq!(names.get(&7).await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the key cannot be used in a map, a foreign value lies under the map's key in Redis, or
    /// the bus has ended.
    pub async fn invalidate(&self, key: &K) -> Result<(), StoreError> {
        self.replica.invalidate(key).await
    }

    /// Returns how many invalidations Redis has not accepted yet; `None` if the whole map is
    /// invalidated.
    pub fn pending_invalidations(&self) -> Option<usize> {
        self.replica.lock().invalid.len()
    }

    /// Returns the entry. If there is none, calls `loader` and stores the value that it returns for
    /// all processes. The loader runs once for all tasks of a process that want this entry at the
    /// same time, and all of them get its result. If the task that runs it is dropped, the loader
    /// of another task runs.
    ///
    /// If the entry is changed or [invalidated](Self::invalidate) while the loader runs, the loaded
    /// value may be out of date: it is returned to the waiting tasks and not stored. While Redis is
    /// unreachable, a cached entry is returned until its time to live ends; for any other, the loader
    /// runs each time.
    ///
    /// A loader must not load its own key, itself or through the loader of another key: it would
    /// wait for itself, and gets an error instead. This is not detected in a task that a loader
    /// spawns, nor between two tasks whose loaders load each other's key: they wait. The loader runs in the future of its caller. If that future is polled once
    /// and then held without being polled or dropped, all other callers of this key in the process
    /// wait: spawn a task for it, or drop it.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:map-load-docs").start().await?;
    /// # async fn ask_the_database(id: u64) -> std::io::Result<String> { Ok(format!("user {id}")) }
    /// let names = bus.map::<u64, String>("names")?;
    /// let name = names.get_or_load(&7, || ask_the_database(7)).await?;
    /// assert_eq!(*name, "user 7");
    /// assert_eq!(names.get(&7).await?, Some(name));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the loader fails, or would wait for itself, or the entry in Redis cannot be decoded.
    #[expect(clippy::missing_panics_doc, reason = "it cannot panic")]
    pub async fn get_or_load<F, Fut, E>(
        &self,
        key: &K,
        loader: F,
    ) -> Result<Arc<V>, GetOrLoadError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
        E: Send + Sync + 'static,
    {
        let loader = || async { loader().await.map(Some) };
        let value = loader::get_or_load(&self.replica, key, loader, false).await?;
        Ok(value.expect("the loader returns a value, and a negative entry is not accepted"))
    }

    /// As [`get_or_load`](Self::get_or_load), with a loader that may find no value. That is stored,
    /// too, for the [`negative_ttl`](crate::MapOptions::negative_ttl), so that a missing row is not
    /// loaded each time. `get` and `all` treat such an entry as absent, and `get_or_load` calls its
    /// loader.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # async fn find_in_the_database(id: u64) -> std::io::Result<Option<String>> { Ok(None) }
    /// # let bus = Bus::builder("memory:map-optional-docs").start().await?;
    /// let names = bus.map::<u64, String>("names")?;
    /// let name = names.get_or_load_optional(&7, || find_in_the_database(7)).await?;
    /// assert_eq!(name, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn get_or_load_optional<F, Fut, E>(
        &self,
        key: &K,
        loader: F,
    ) -> Result<Option<Arc<V>>, GetOrLoadError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<V>, E>>,
        E: Send + Sync + 'static,
    {
        loader::get_or_load(&self.replica, key, loader, true).await
    }

    /// Watches one entry for changes by any process. If the entry is not cached, a change of it
    /// cannot be told from a first read: the next comparison with Redis yields its state even if
    /// nobody changed it.
    ///
    /// ```
    /// # use tidings::{EntryState, prelude::*};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:map-watch-docs").start().await?;
    /// let names = bus.map::<u64, String>("names")?;
    /// let mut changes = names.watch(&7);
    /// names.set(&7, &"Ada".to_owned()).await?;
    /// if let Some(EntryState::Present(name)) = changes.changed().await {
    ///     assert_eq!(*name, "Ada");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn watch(&self, key: &K) -> EntryWatch<V> {
        watch::watch_entry(&self.replica, key)
    }

    /// Watches the whole map for changes by any process.
    ///
    /// ```
    /// # use tidings::{MapChange, prelude::*};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:map-watch-all-docs").start().await?;
    /// let names = bus.map::<u64, String>("names")?;
    /// let mut changes = names.watch_all();
    /// names.set(&7, &"Ada".to_owned()).await?;
    /// match changes.changed().await {
    ///     Some(MapChange::Entry(id)) => println!("{id} is now {:?}", names.get(&id).await?),
    ///     _ => println!("all of them may have changed"),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn watch_all(&self) -> MapWatch<K> {
        watch::watch_all(&self.replica)
    }

    /// Removes all entries, also if a foreign value lies under the map's key in Redis.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn clear(&self) -> Result<(), StoreError> {
        self.replica.clear().await
    }

    /// Returns the number of entries in Redis. It includes entries that say that there is no value,
    /// and expired entries that no later write has removed yet, until the last entry has expired.
    ///
    /// # Errors
    ///
    /// When Redis is unreachable, refuses or does not answer, or a foreign value lies under the
    /// key.
    pub async fn len(&self) -> Result<u64, LoadError> {
        self.replica.len().await
    }

    /// Returns whether there is no entry in Redis.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub async fn is_empty(&self) -> Result<bool, LoadError> {
        Ok(self.len().await? == 0)
    }

    /// Returns all entries in Redis, read in steps: an entry that changes during the call may be
    /// the old or the new one. If another server takes over during the call, it begins again.
    /// Entries that cannot be decoded are left out, and reported as
    /// [`Failure::Shared`](crate::Failure::Shared).
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len), and when another server takes over in each of 3 attempts.
    pub async fn all(&self) -> Result<HashMap<K, Arc<V>>, LoadError> {
        self.replica.all().await
    }

    /// Returns a page of about 500 entries in Redis, for maps that are too large for [`all`](Self::all).
    /// The first page has the cursor 0. An entry that is there all the time is on one of the pages, or
    /// on two of them, as long as the same server process answers. After a failover, a restart, or the
    /// move of the keys to another node of a cluster, a cursor from before it leaves out entries
    /// without an error: begin again with 0. Entries that cannot be decoded are left out, as by `all`.
    /// Redis returns a small map as one page, and `memory:` every map.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:map-page-docs").start().await?;
    /// let users = bus.map::<u64, String>("users")?;
    /// users.set(&7, &"Ada".to_owned()).await?;
    /// let mut cursor = Some(0);
    /// while let Some(from) = cursor {
    ///     let page = users.page(from).await?;
    ///     for (id, name) in page.entries {
    ///         println!("{id}: {name}");
    ///     }
    ///     cursor = page.next;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub async fn page(&self, cursor: u64) -> Result<MapPage<K, V>, LoadError> {
        let (page, _) = self.replica.page(cursor).await?;
        Ok(page)
    }

    /// Returns since when cached entries may be out of date because no change was received; `None`
    /// if, as far as is known, they are equal to Redis.
    pub fn stale_since(&self) -> Option<Instant> {
        self.replica.lock().stale_since
    }
}

impl<K, V> Clone for SharedMap<K, V> {
    fn clone(&self) -> Self {
        Self {
            replica: Arc::clone(&self.replica),
        }
    }
}

impl<K, V> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedMap")
            .field(&self.replica.keys.name)
            .finish()
    }
}
