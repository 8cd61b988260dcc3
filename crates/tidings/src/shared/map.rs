//! Many small values that all processes share, and what each process keeps of them at hand.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::hash::Hash;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use crate::error::shared::{GetOrLoadError, LoadError, StoreError};
use crate::shared::shareable::Shareable;

pub(crate) mod cache;
pub(crate) mod caching;
pub(crate) mod changed;
pub(crate) mod entry;
pub(crate) mod invalidate;
pub(crate) mod invalidations;
pub(crate) mod loader;
pub(crate) mod replica;
pub(crate) mod single_flight;
pub(crate) mod watch;
pub(crate) mod watchers;

use crate::shared::map::replica::MapReplica;
use crate::shared::map::watch::{EntryWatch, MapWatch};

/// Many small values in Redis that all processes of the namespace share, by their keys. Each
/// process keeps at hand what it used of late. Cheap to clone; [`Bus::map`](crate::Bus::map) gives it.
///
/// What is at hand is as true as Redis: every change is announced and takes that one entry out of
/// every process. What was announced and not heard, after an outage or a gap, is found at once by
/// the stamp that every change of the map leaves, else by the check once in 30 s
/// ([`refresh_interval`](crate::BusBuilder::refresh_interval)); then nothing of the map is kept. While
/// Redis is unreachable, what is at hand is served until its [time to live](crate::MapOptions::ttl) is over, and
/// [`stale_since`](Self::stale_since) says so; the rest fails at once.
///
/// ```
/// use tidings::prelude::*;
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct User { name: String }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bus = Bus::builder("memory:map-docs").start().await?;
/// let users = bus.map::<u64, User>("users")?;
/// users.set(&7, &User { name: "Ada".into() }).await?;
///
/// let ada = users.get(&7).await?.expect("it was set");
/// assert_eq!(ada.name, "Ada");
/// assert_eq!(users.get(&8).await?, None);
/// # Ok(())
/// # }
/// ```
///
/// # As a cache
///
/// Where the source of truth is elsewhere, [`get_or_load`](Self::get_or_load) asks there for what is
/// not in the map, once for all tasks of a process that want it, and
/// [`invalidate`](Self::invalidate) takes it out everywhere, also from under a loader that runs. An
/// invalidation outlasts an outage of Redis. And whatever goes wrong, what was loaded is used for 5
/// minutes at most: its [time to live](crate::MapOptions::ttl).
///
/// # In Redis
///
/// The entries are the fields of the hash `tidings:{namespace}:map:NAME`, each
/// `FORMAT VERSION NONCE PAYLOAD`, such as `json 3 9f8a6c0d1e2b3a4f {"name":"Ada"}`. One with a time
/// to live says behind its version when that is over, in milliseconds of Redis's clock:
/// `3@1764385800000`. One of the format `none` has no payload and says that there is no value. The
/// field is the key as text, at most 1 KiB. The hash goes with the last of its entries, unless one of
/// them has no time to live. The hash `tidings:{namespace}:map-stamp:NAME` has the `version` and the
/// `nonce` of the last change of any of them, and in `until` when the entries go;
/// `…:map-leases:NAME` has the leases of loaders that run, and goes by itself.
///
/// Another program changes an entry so, with random letters and digits in place of `NONCE`:
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
/// It takes one out with `HDEL tidings:{shop}:map:users 7` in place of the first `HSET`. As it does
/// not say what the stamp was before, such a change empties what the processes have at hand.
pub struct SharedMap<K, V> {
    pub(crate) replica: Arc<MapReplica<K, V>>,
}

impl<K, V> SharedMap<K, V>
where
    K: Display + FromStr + Eq + Hash + Clone + Send + Sync + 'static,
    V: Shareable,
{
    /// The name that it was asked for with.
    pub fn name(&self) -> &str {
        &self.replica.keys.name
    }

    /// The entry, if there is one: at once where it is at hand, else with one read for all tasks
    /// that ask for it at the same time. That there is none is kept at hand, too.
    ///
    /// # Errors
    ///
    /// When it cannot be read here, or is not at hand and Redis is away, refuses or does not answer.
    pub async fn get(&self, key: &K) -> Result<Option<Arc<V>>, LoadError> {
        self.replica.read(key).await?.value
    }

    /// The entry, if it is at hand.
    pub fn peek(&self, key: &K) -> Option<Arc<V>> {
        self.replica.peek(key)?.value.ok()?
    }

    /// Writes an entry, whatever was there.
    ///
    /// # Errors
    ///
    /// When it cannot be written so that it can be read again, or Redis is away, refuses or does not
    /// answer: [`StoreError::is_unknown`] says whether it may be written all the same.
    pub async fn set(&self, key: &K, value: &V) -> Result<(), StoreError> {
        self.replica.set(key, value).await
    }

    /// Makes a new entry of the old one, and returns it. Where another process changes it at the
    /// same time, `new` is called again with what is there then: no change is lost. The updates of
    /// one entry by one process take turns.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:map-update-docs").start().await?;
    /// let stock = bus.map::<String, u32>("stock")?;
    /// let apples = "apples".to_owned();
    /// let left = stock.update(&apples, |old| old.copied().unwrap_or(0) + 10).await?;
    /// assert_eq!(*left, 10);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set), when the old entry cannot be read here, and when others change it
    /// again and again for as long as a send may take, or 1,000 times.
    pub async fn update(
        &self,
        key: &K,
        new: impl FnMut(Option<&V>) -> V,
    ) -> Result<Arc<V>, StoreError> {
        let updating = self.replica.update(key, new);
        self.replica.keyspace.in_runtime(updating).await
    }

    /// Takes an entry out, as [`invalidate`](Self::invalidate) does, but fails at once where Redis is
    /// unreachable.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn remove(&self, key: &K) -> Result<(), StoreError> {
        self.replica.remove(key).await
    }

    /// Says that an entry is out of date, because its source of truth was changed: takes it out of
    /// Redis and of every process, and what a loader that runs anywhere brings for it is not kept.
    ///
    /// It outlasts an outage. This process does not use the entry from the call on. Where Redis is
    /// unreachable or refuses, or does not answer within the
    /// [`send_timeout`](crate::BusBuilder::send_timeout), the call ends well all the same, and a task
    /// repeats the invalidation until Redis has taken it, also after the future was dropped. Until
    /// then [`get_or_load`](Self::get_or_load) asks its loader each time and stores nothing, and
    /// [`pending_invalidations`](Self::pending_invalidations) counts it. Other processes may use the
    /// entry that long, but never longer than its [time to live](crate::MapOptions::ttl).
    ///
    /// An invalidation that is repeated also takes out what a `set`, `update` or loader of this process
    /// wrote meanwhile that was under way at the call. What this process sets or updates after the call
    /// stays, however late the invalidation is repeated.
    ///
    /// At most 10,000 keys wait; beyond that the whole map is invalidated. `shutdown` sends what waits
    /// until its deadline, and reports the rest as
    /// [`Failure::Invalidation`](crate::Failure::Invalidation).
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn write_to_the_database(id: u64, name: &str) -> std::io::Result<()> { Ok(()) }
    /// # let bus = Bus::builder("memory:map-invalidate-docs").start().await?;
    /// let names = bus.map::<u64, String>("names")?;
    /// write_to_the_database(7, "Ada").await?;
    /// names.invalidate(&7).await?;
    /// assert_eq!(names.get(&7).await?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When this cannot be a key of the map, something else lies under the map's key in Redis, or the
    /// bus has ended.
    pub async fn invalidate(&self, key: &K) -> Result<(), StoreError> {
        self.replica.invalidate(key).await
    }

    /// How many invalidations Redis has not taken yet; `None` for that of the whole map.
    pub fn pending_invalidations(&self) -> Option<usize> {
        self.replica.lock().invalid.len()
    }

    /// The entry; where there is none, `loader` is asked for it, and all processes find what it
    /// returns. It runs once for all tasks of a process that want this entry at the same time, and
    /// all of them get what comes of it. Where the task that runs it is dropped, another's runs.
    ///
    /// What is changed or [invalidated](Self::invalidate) while the loader runs was loaded too
    /// early: it is returned to those who waited, and kept nowhere. While Redis is away, the loader
    /// runs each time.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:map-load-docs").start().await?;
    /// # async fn ask_the_database(id: u64) -> std::io::Result<String> { Ok(format!("user {id}")) }
    /// let names = bus.map::<u64, String>("names")?;
    /// let name = names.get_or_load(&7, || ask_the_database(7)).await?;
    /// assert_eq!(*name, "user 7");
    /// assert_eq!(names.get(&7).await?, Some(name));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the loader fails, or what lies in Redis cannot be read here.
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
        loader::get_or_load(&self.replica, key, loader).await
    }

    /// As [`get_or_load`](Self::get_or_load), with a loader that may find that there is no value. That
    /// is remembered, too, so that a missing row is not asked for each time:
    /// [`negative_ttl`](crate::MapOptions::negative_ttl) says for how long. `get` and `all` take such an entry
    /// for none, and so does `get_or_load`, which asks its loader.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn find_in_the_database(id: u64) -> std::io::Result<Option<String>> { Ok(None) }
    /// # let bus = Bus::builder("memory:map-optional-docs").start().await?;
    /// let names = bus.map::<u64, String>("names")?;
    /// let name = names.get_or_load_optional(&7, || find_in_the_database(7)).await?;
    /// assert_eq!(name, None);
    /// # Ok(())
    /// # }
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
        loader::get_or_load_optional(&self.replica, key, loader, true).await
    }

    /// The changes of one entry from now on, made by any process. Where the entry is not at hand, it is
    /// not known whether it changes: the next check tells what it is, even if nobody changed it.
    ///
    /// ```
    /// # use tidings::{EntryState, prelude::*};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:map-watch-docs").start().await?;
    /// let names = bus.map::<u64, String>("names")?;
    /// let mut changes = names.watch(&7);
    /// names.set(&7, &"Ada".to_owned()).await?;
    /// if let Some(EntryState::Present(name)) = changes.changed().await {
    ///     assert_eq!(*name, "Ada");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self, key: &K) -> EntryWatch<V> {
        watch::watch_entry(&self.replica, key)
    }

    /// Which entries change from now on, by any process.
    ///
    /// ```
    /// # use tidings::{MapChange, prelude::*};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:map-watch-all-docs").start().await?;
    /// let names = bus.map::<u64, String>("names")?;
    /// let mut changes = names.watch_all();
    /// names.set(&7, &"Ada".to_owned()).await?;
    /// match changes.changed().await {
    ///     Some(MapChange::Entry(id)) => println!("{id} is now {:?}", names.get(&id).await?),
    ///     _ => println!("all of them may have changed"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch_all(&self) -> MapWatch<K> {
        watch::watch_all(&self.replica)
    }

    /// Takes all entries out. It also cures a map whose key in Redis has something else.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn clear(&self) -> Result<(), StoreError> {
        self.replica.clear().await
    }

    /// How many entries there are in Redis, including those whose time to live is over and that were
    /// not overwritten yet, and those that say that there is no value.
    ///
    /// # Errors
    ///
    /// When Redis is away, refuses or does not answer, or something else lies under the key.
    pub async fn len(&self) -> Result<u64, LoadError> {
        self.replica.len().await
    }

    /// Whether there is no entry in Redis.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub async fn is_empty(&self) -> Result<bool, LoadError> {
        Ok(self.len().await? == 0)
    }

    /// All entries in Redis, read in steps: of what changes meanwhile, it may be either. Those that
    /// cannot be read here are left out, and reported as
    /// [`Failure::Shared`](crate::Failure::Shared).
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub async fn all(&self) -> Result<HashMap<K, Arc<V>>, LoadError> {
        let mut all = HashMap::new();
        let take = |key, value| {
            all.insert(key, value);
        };
        self.replica.for_each(take).await?;
        Ok(all)
    }

    /// `None` while what is at hand is, as far as is known, what Redis has; else since when nothing
    /// was heard of changes.
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
