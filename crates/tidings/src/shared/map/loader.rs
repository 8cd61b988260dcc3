//! Filling a gap in a map from the source of truth: once for all who ask, and never with what was
//! invalidated meanwhile.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::report;
use crate::error::shared::{GetOrLoadError, LoadError};
use crate::keyspace::map::{Found, Only};
use crate::keyspace::stamp::nonce;
use crate::shared::map::entry::Loaded;
use crate::shared::map::entry::{Entry, Key, entry_name, field_of};
use crate::shared::map::invalidations::Turn;
use crate::shared::map::replica::{MapReplica, New};
use crate::shared::map::single_flight::Ticket;
use crate::shared::shareable::Shareable;

/// Who runs the loader, and who waits for that.
enum LoadRole<K: Key, V: Shareable> {
    Lead(Load<K, V>),
    Wait(watch::Receiver<Option<Loaded<V>>>),
}

/// A load that is under way in this task.
struct Load<K: Key, V: Shareable> {
    replica: Arc<MapReplica<K, V>>,
    key: K,
    field: String,
    ticket: Ticket,
    /// Redis may still hold what was invalidated: nothing is read from it or stored.
    is_invalid: bool,
    /// Whether a negative entry is an answer.
    negative_will_do: bool,
    outcome: watch::Sender<Option<Loaded<V>>>,
}

pub(crate) async fn get_or_load<K: Key, V: Shareable, F, Fut, E>(
    replica: &Arc<MapReplica<K, V>>,
    key: &K,
    loader: F,
) -> Result<Arc<V>, GetOrLoadError<E>>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    E: Send + Sync + 'static,
{
    let loader = || async { loader().await.map(Some) };
    let value = get_or_load_optional(replica, key, loader, false).await?;
    Ok(value.expect("its loader returns a value, and a negative entry will not do"))
}

pub(crate) async fn get_or_load_optional<K: Key, V: Shareable, F, Fut, E>(
    replica: &Arc<MapReplica<K, V>>,
    key: &K,
    loader: F,
    negative_will_do: bool,
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
            Ok(None) if is_negative && negative_will_do => return Ok(None),
            Ok(None) | Err(_) => {}
        }
    }
    let field = field_of(&replica.keys.name, key).map_err(GetOrLoadError::Load)?;
    loop {
        let mut waiting = match board(replica, key, &field, negative_will_do) {
            // On the heap, so that a call that finds its entry is small.
            LoadRole::Lead(load) => return Box::pin(load.run(loader)).await,
            LoadRole::Wait(waiting) => waiting,
        };
        let outcome = waiting.wait_for(Option::is_some).await;
        let outcome = outcome.ok().and_then(|outcome| outcome.clone());
        match outcome {
            Some(Loaded::Value(value)) if value.is_some() || negative_will_do => return Ok(value),
            Some(Loaded::Unreadable(error)) => return Err(GetOrLoadError::Load(error)),
            Some(Loaded::Failed(error)) => {
                // An error of another type is not for us: we try ourselves.
                if let Ok(source) = error.downcast() {
                    let shared = entry_name(&replica.keys.name, &field);
                    return Err(GetOrLoadError::Loader { shared, source });
                }
            }
            // It found nothing, which is no answer here, or the task that ran it was dropped.
            Some(Loaded::Value(_)) | None => {}
        }
    }
}

fn board<K: Key, V: Shareable>(
    replica: &Arc<MapReplica<K, V>>,
    key: &K,
    field: &str,
    negative_will_do: bool,
) -> LoadRole<K, V> {
    let mut cache = replica.lock();
    if let Some(waiting) = cache.loading.of(key) {
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
        is_invalid: cache.invalid.has(key),
        negative_will_do,
        outcome,
    })
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
                self.land(Loaded::Value(value.clone()));
                return Ok(value);
            }
            Ok(Leased::Gap(lease)) => lease,
            Err(error) => {
                self.land(Loaded::Unreadable(error.clone()));
                return Err(GetOrLoadError::Load(error));
            }
        };
        match loader().await {
            Ok(value) => {
                let value = self.store(value, lease.as_deref()).await;
                self.land(Loaded::Value(value.clone()));
                Ok(value)
            }
            Err(error) => {
                let source = Arc::new(error);
                self.land(Loaded::Failed(Arc::clone(&source) as _));
                let shared = entry_name(&self.replica.keys.name, &self.field);
                Err(GetOrLoadError::Loader { shared, source })
            }
        }
    }

    /// The entry, or else the right to fill the gap: none where Redis is unreachable or may still hold
    /// what was invalidated, so that nothing can be stored.
    async fn lease(&self) -> Result<Leased<V>, LoadError> {
        if self.is_invalid {
            return Ok(Leased::Gap(None));
        }
        let (replica, new) = (&self.replica, nonce());
        let (keys, negative_will_do) = (&replica.keys, self.negative_will_do);
        let asked = Instant::now();
        let answer = replica.ask(|redis| redis.lease(keys, &self.field, &new, negative_will_do));
        let (found, lease) = match answer.await {
            Ok(answer) => answer,
            Err(error @ LoadError::Unread { .. }) => {
                tracing::debug!(error = %report(&error), "what is loaded will not be stored");
                return Ok(Leased::Gap(None));
            }
            Err(error) => return Err(error),
        };
        let entry = self.take(&found, asked);
        let is_negative = entry.is_negative();
        match entry.value? {
            None if !is_negative => Ok(Leased::Gap(Some(lease))),
            value => Ok(Leased::Entry(value)),
        }
    }

    /// Keeps what was found, unless it was overtaken.
    fn take(&self, found: &Found, asked: Instant) -> Entry<V> {
        let entry = self.replica.found(&self.field, found, asked);
        let mut cache = self.replica.lock();
        if found.entry.is_some() && cache.loading.has(&self.key, self.ticket) {
            cache.keep(self.key.clone(), entry.clone(), &found.stamp);
        }
        entry
    }

    /// Stores what was loaded, unless it was overtaken; what there is then. The caller gets a value
    /// whether or not it could be stored.
    async fn store(&self, loaded: Option<V>, lease: Option<&str>) -> Option<Arc<V>> {
        let replica = &self.replica;
        let encoded = match &loaded {
            Some(value) => match replica.encoded(&self.field, value) {
                Ok(encoded) => Some(encoded),
                Err(error) => {
                    tracing::warn!(error = %report(&error), "what was loaded cannot be stored");
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
        let new = New {
            ttl: Some(replica.caching.loaded_ttl(encoded.is_none())),
            encoded,
            only: Only::IfLeased(lease.to_owned()),
            since,
        };
        let stored = match replica.write(&self.key, &self.field, new).await {
            Ok(None) => None,
            // Another loader was first, or the entry was invalidated while it was loaded.
            Ok(Some(found)) => found.value.ok(),
            Err(error) => {
                tracing::warn!(error = %report(&error), "what was loaded was not stored");
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

    /// The newest invalidation of another key; nothing where this one was invalidated, and Redis does
    /// not know: otherwise the lease is of no use any more.
    fn valid_since(&self) -> Option<Turn> {
        let cache = self.replica.lock();
        let is_invalid = cache.invalid.has(&self.key);
        (!is_invalid).then(|| cache.invalid.last())
    }

    /// Tells all tasks that wait. One that comes later loads again.
    fn land(&self, loaded: Loaded<V>) {
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
    Gap(Option<String>),
}
