//! `get_or_load`: loads a missing entry from its source of truth, once for all waiting tasks, and
//! never stores an invalidated value.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::report;
use crate::error::shared::{GetOrLoadError, LoadError};
use crate::keyspace::map::{Found, WriteCondition};
use crate::keyspace::stamp::nonce;
use crate::shared::map::entry::{Entry, Key, Loaded, NotLoaded, entry_name, field_of};
use crate::shared::map::invalidations::Generation;
use crate::shared::map::replica::MapReplica;
use crate::shared::map::single_flight::Ticket;
use crate::shared::map::write::NewValue;
use crate::shared::options::Shareable;

tokio::task_local! {
    /// The loads, by map and ticket, whose loaders run the current future.
    static RUNNING: Vec<(usize, Ticket)>;
}

/// The part of this task in a load.
enum LoadRole<K: Key, V: Shareable> {
    Lead(Load<K, V>),
    Wait(watch::Receiver<Option<Loaded<V>>>),
    /// Its own loader runs this task, so waiting would not end.
    Recursive,
}

/// A load that this task runs.
struct Load<K: Key, V: Shareable> {
    replica: Arc<MapReplica<K, V>>,
    key: K,
    field: String,
    ticket: Ticket,
    /// Redis may still hold the invalidated entry: nothing is read or stored.
    is_invalid: bool,
    /// A negative entry is an acceptable result.
    accepts_negative: bool,
    outcome: watch::Sender<Option<Loaded<V>>>,
}

pub(crate) async fn get_or_load<K: Key, V: Shareable, F, Fut, E>(
    replica: &Arc<MapReplica<K, V>>,
    key: &K,
    loader: F,
    accepts_negative: bool,
) -> Result<Option<Arc<V>>, GetOrLoadError<E>>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<Option<V>, E>>,
    E: Send + Sync + 'static,
{
    if let Some(entry) = replica.peek(key) {
        let is_negative = entry.is_negative();
        match entry.value {
            Ok(Some(value)) => return Ok(Some(value)),
            Ok(None) if is_negative && accepts_negative => return Ok(None),
            Ok(None) | Err(_) => {}
        }
    }
    let field = field_of(&replica.keys.name, key).map_err(GetOrLoadError::Load)?;
    loop {
        let mut waiting = match join_or_lead(replica, key, &field, accepts_negative) {
            // On the heap, to keep the future of a cached read small.
            LoadRole::Lead(load) => return Box::pin(load.run(loader)).await,
            LoadRole::Wait(waiting) => waiting,
            LoadRole::Recursive => {
                let shared = entry_name(&replica.keys.name, &field);
                return Err(GetOrLoadError::Recursive { shared });
            }
        };
        let outcome = waiting.wait_for(Option::is_some).await;
        let outcome = outcome.ok().and_then(|outcome| outcome.clone());
        match outcome {
            Some(Ok(value)) if value.is_some() || accepts_negative => return Ok(value),
            Some(Err(NotLoaded::Unreadable(error))) => return Err(GetOrLoadError::Load(error)),
            Some(Err(NotLoaded::Failed(error))) => {
                // Another task's loader has another error type: runs our own.
                if let Ok(source) = error.downcast() {
                    let shared = entry_name(&replica.keys.name, &field);
                    return Err(GetOrLoadError::Loader { shared, source });
                }
            }
            // It found no value, which is not accepted here, or its task was dropped.
            Some(Ok(_)) | None => {}
        }
    }
}

fn join_or_lead<K: Key, V: Shareable>(
    replica: &Arc<MapReplica<K, V>>,
    key: &K,
    field: &str,
    accepts_negative: bool,
) -> LoadRole<K, V> {
    let mut cache = replica.lock();
    if let Some(waiting) = cache.loading.of(key) {
        let map = address(replica);
        let is_this =
            |(of, ticket): &(usize, Ticket)| *of == map && cache.loading.has(key, *ticket);
        let is_recursive = RUNNING.try_with(|running| running.iter().any(is_this));
        if is_recursive.unwrap_or(false) {
            return LoadRole::Recursive;
        }
        return LoadRole::Wait(waiting.clone());
    }
    let ticket = cache.loading.ticket();
    let (outcome, waiting) = watch::channel(None);
    cache.loading.begin(key.clone(), ticket, waiting);
    LoadRole::Lead(Load {
        replica: Arc::clone(replica),
        key: key.clone(),
        field: field.to_owned(),
        ticket,
        is_invalid: cache.invalid.contains(key),
        accepts_negative,
        outcome,
    })
}

/// Tells the maps of running loads apart.
fn address<K: Key, V: Shareable>(replica: &Arc<MapReplica<K, V>>) -> usize {
    Arc::as_ptr(replica).addr()
}

impl<K: Key, V: Shareable> Load<K, V> {
    async fn run<F, Fut, E>(self, loader: F) -> Result<Option<Arc<V>>, GetOrLoadError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<V>, E>>,
        E: Send + Sync + 'static,
    {
        let lease = match self.lease().await {
            Ok(Leased::Entry(value)) => {
                self.finish(Ok(value.clone()));
                return Ok(value);
            }
            Ok(Leased::Miss(lease)) => lease,
            Err(error) => {
                self.finish(Err(NotLoaded::Unreadable(error.clone())));
                return Err(GetOrLoadError::Load(error));
            }
        };
        let mut running = RUNNING.try_with(Clone::clone).unwrap_or_default();
        running.push((address(&self.replica), self.ticket));
        match RUNNING.scope(running, async { loader().await }).await {
            Ok(value) => {
                let value = self.store(value, lease.as_deref()).await;
                self.finish(Ok(value.clone()));
                Ok(value)
            }
            Err(error) => {
                let source = Arc::new(error);
                self.finish(Err(NotLoaded::Failed(Arc::clone(&source) as _)));
                let shared = entry_name(&self.replica.keys.name, &self.field);
                Err(GetOrLoadError::Loader { shared, source })
            }
        }
    }

    /// Returns the entry, or else a lease to store a loaded one: `None` if Redis is unreachable or
    /// may still hold the invalidated entry, so that nothing can be stored.
    async fn lease(&self) -> Result<Leased<V>, LoadError> {
        if self.is_invalid {
            return Ok(Leased::Miss(None));
        }
        let (replica, new) = (&self.replica, nonce());
        let (keys, accepts_negative) = (&replica.keys, self.accepts_negative);
        let requested = Instant::now();
        let answer =
            replica.request(|redis| redis.lease(keys, &self.field, &new, accepts_negative));
        let (found, lease) = match answer.await {
            Ok(answer) => answer,
            Err(error @ LoadError::Unread { .. }) => {
                tracing::debug!(error = %report(&error), "redis is unreachable: a loaded value will not be stored");
                return Ok(Leased::Miss(None));
            }
            Err(error) => return Err(error),
        };
        let entry = self.cache_found(&found, requested);
        let is_negative = entry.is_negative();
        match entry.value? {
            None if !is_negative => Ok(Leased::Miss(Some(lease))),
            value => Ok(Leased::Entry(value)),
        }
    }

    /// Caches what was found, unless the read was overtaken.
    fn cache_found(&self, found: &Found, requested: Instant) -> Entry<V> {
        let entry = self.replica.found(&self.field, found, requested);
        let mut cache = self.replica.lock();
        if found.entry.is_some() && cache.loading.has(&self.key, self.ticket) {
            cache.insert(self.key.clone(), entry.clone(), &found.stamp);
        }
        entry
    }

    /// Stores the loaded value, unless it was overtaken, and returns the entry. The caller gets a
    /// value even if it could not be stored.
    async fn store(&self, loaded: Option<V>, lease: Option<&str>) -> Option<Arc<V>> {
        let replica = &self.replica;
        let encoded = match &loaded {
            Some(value) => match replica.encoded(&self.field, value) {
                Ok(encoded) => Some(encoded),
                Err(error) => {
                    tracing::warn!(error = %report(&error), "cannot encode a loaded value");
                    return loaded.map(Arc::new);
                }
            },
            None => None,
        };
        replica.discard(loaded);
        let value = encoded.as_ref().map(|(_, value)| Arc::clone(value));
        let (Some(lease), Some(since)) = (lease, self.valid_since()) else {
            return value;
        };
        let new = NewValue {
            ttl: Some(replica.options.loaded_ttl(encoded.is_none())),
            encoded,
            condition: WriteCondition::IfLeased(lease.to_owned()),
            since,
        };
        let stored = match replica.write(&self.key, &self.field, new).await {
            Ok(None) => None,
            // Another loader came first, or the entry was invalidated during the load.
            Ok(Some(found)) => found.value.ok(),
            Err(error) => {
                tracing::warn!(error = %report(&error), "cannot store a loaded value");
                None
            }
        };
        match stored.flatten() {
            Some(stored) => {
                replica.discard(value);
                Some(stored)
            }
            None => value,
        }
    }

    /// Returns the newest generation; `None` if this entry was invalidated and Redis does not know
    /// it yet, so that the lease must not be used.
    fn valid_since(&self) -> Option<Generation> {
        let cache = self.replica.lock();
        let is_invalid = cache.invalid.contains(&self.key);
        (!is_invalid).then(|| cache.invalid.last())
    }

    /// Gives the result to all waiting tasks. A later task loads again.
    fn finish(&self, loaded: Loaded<V>) {
        self.replica.lock().loading.end(&self.key, self.ticket);
        self.outcome.send_replace(Some(loaded));
    }
}

impl<K: Key, V: Shareable> Drop for Load<K, V> {
    fn drop(&mut self) {
        self.replica.lock().loading.end(&self.key, self.ticket);
    }
}

enum Leased<V> {
    /// The value; `None` for a negative entry.
    Entry(Option<Arc<V>>),
    Miss(Option<String>),
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use tokio::time::timeout;

    use crate::{Bus, GetOrLoadError, SharedMap};

    type Nested = GetOrLoadError<GetOrLoadError<Infallible>>;

    /// Loads the first key by a loader that loads the second one.
    async fn load(sizes: &SharedMap<u32, u32>, first: u32, second: u32) -> Result<u32, Nested> {
        let inner = || async { Ok::<_, Infallible>(1) };
        let outer = || async { sizes.get_or_load(&second, inner).await.map(|size| *size) };
        sizes.get_or_load(&first, outer).await.map(|size| *size)
    }

    #[tokio::test(start_paused = true)]
    async fn a_loader_that_would_wait_for_itself_gets_an_error() {
        let bus = Bus::builder("memory:recursive-load").start().await.unwrap();
        let sizes = bus.map::<u32, u32>("sizes").unwrap();
        let soon = Duration::from_secs(5);

        let itself = timeout(soon, load(&sizes, 1, 1)).await.unwrap();
        let through = || load(&sizes, 2, 1);
        let through = timeout(soon, sizes.get_or_load(&1, through)).await.unwrap();
        let other = load(&sizes, 3, 4).await;
        let (one, two) = tokio::join!(load(&sizes, 5, 6), load(&sizes, 5, 6));

        let words = itself.unwrap_err();
        let words = crate::report(&words).to_string();
        let expected = "the loader of `sizes[1]` would wait for itself";
        assert!(words.contains(expected), "{words}");
        let words = crate::report(&through.unwrap_err()).to_string();
        assert!(words.contains(expected), "{words}");
        assert_eq!(other.unwrap(), 1);
        assert_eq!((one.unwrap(), two.unwrap()), (1, 1));
    }
}
