//! Filling a gap in a map from where the truth is: once for all who ask, and never with what was
//! overtaken meanwhile.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::cache::Entry;
use super::entry::{entry_name, field_of};
use super::flights::Ticket;
use super::mirror::{Key, Mirror};
use crate::error::report;
use crate::shared::keeper::nonce;
use crate::shared::{LoadError, Shareable};
use crate::transport::keyspace::maps::{Found, Only};

/// Why [`SharedMap::get_or_load`](crate::SharedMap::get_or_load) has no value. Cheap to clone: all
/// who waited for one run of the loader get it.
#[non_exhaustive]
pub enum LoadOrError<E> {
    /// What lies in Redis cannot be read here, and is not overwritten: it may be from a newer
    /// version of this program.
    Load(LoadError),
    /// The loader was called and failed.
    Loader {
        /// The entry, as `map[key]`.
        shared: String,
        /// The loader's error.
        source: Arc<E>,
    },
}

/// What became of a load, for all who wait for it.
pub(crate) enum Loaded<V> {
    Value(Arc<V>),
    Unreadable(LoadError),
    /// The loader's error.
    Failed(Arc<dyn Any + Send + Sync>),
}

impl<V> Clone for Loaded<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Value(value) => Self::Value(Arc::clone(value)),
            Self::Unreadable(error) => Self::Unreadable(error.clone()),
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
        }
    }
}

/// Who runs the loader, and who waits for that.
enum Boarding<K: Key, V: Shareable> {
    Lead(Load<K, V>),
    Wait(watch::Receiver<Option<Loaded<V>>>),
}

/// A load that is under way in this task.
struct Load<K: Key, V: Shareable> {
    mirror: Arc<Mirror<K, V>>,
    key: K,
    field: String,
    ticket: Ticket,
    outcome: watch::Sender<Option<Loaded<V>>>,
}

pub(crate) async fn get_or_load<K: Key, V: Shareable, F, Fut, E>(
    mirror: &Arc<Mirror<K, V>>,
    key: &K,
    loader: F,
) -> Result<Arc<V>, LoadOrError<E>>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    E: Send + Sync + 'static,
{
    if let Some(Ok(Some(value))) = mirror.peek(key).map(|entry| entry.value) {
        return Ok(value);
    }
    let field = field_of(&mirror.keys.name, key).map_err(LoadOrError::Load)?;
    loop {
        let mut waiting = match board(mirror, key, &field) {
            Boarding::Lead(load) => return load.run(loader).await,
            Boarding::Wait(waiting) => waiting,
        };
        let outcome = waiting.wait_for(Option::is_some).await;
        let outcome = outcome.ok().and_then(|outcome| outcome.clone());
        match outcome {
            Some(Loaded::Value(value)) => return Ok(value),
            Some(Loaded::Unreadable(error)) => return Err(LoadOrError::Load(error)),
            Some(Loaded::Failed(error)) => {
                // An error of another type is not for us: we try ourselves.
                if let Ok(source) = error.downcast() {
                    let shared = entry_name(&mirror.keys.name, &field);
                    return Err(LoadOrError::Loader { shared, source });
                }
            }
            // Who ran it was dropped.
            None => {}
        }
    }
}

fn board<K: Key, V: Shareable>(mirror: &Arc<Mirror<K, V>>, key: &K, field: &str) -> Boarding<K, V> {
    let mut cache = mirror.lock();
    if let Some(waiting) = cache.loading.of(key) {
        return Boarding::Wait(waiting.clone());
    }
    let ticket = cache.loading.ticket();
    let (outcome, waiting) = watch::channel(None);
    cache.loading.begin(key.clone(), ticket, waiting);
    Boarding::Lead(Load {
        mirror: Arc::clone(mirror),
        key: key.clone(),
        field: field.to_owned(),
        ticket,
        outcome,
    })
}

impl<K: Key, V: Shareable> Load<K, V> {
    async fn run<F, Fut, E>(self, loader: F) -> Result<Arc<V>, LoadOrError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
        E: Send + Sync + 'static,
    {
        let lease = match self.lease().await {
            Ok(Leased::Entry(value)) => {
                self.land(Loaded::Value(Arc::clone(&value)));
                return Ok(value);
            }
            Ok(Leased::Gap(lease)) => lease,
            Err(error) => {
                self.land(Loaded::Unreadable(error.clone()));
                return Err(LoadOrError::Load(error));
            }
        };
        match loader().await {
            Ok(value) => {
                let value = self.store(value, lease.as_deref()).await;
                self.land(Loaded::Value(Arc::clone(&value)));
                Ok(value)
            }
            Err(error) => {
                let source = Arc::new(error);
                self.land(Loaded::Failed(Arc::clone(&source) as _));
                let shared = entry_name(&self.mirror.keys.name, &self.field);
                Err(LoadOrError::Loader { shared, source })
            }
        }
    }

    /// The entry, or else the right to fill the gap: none where Redis is away, and nothing can be
    /// stored.
    async fn lease(&self) -> Result<Leased<V>, LoadError> {
        let (mirror, new) = (&self.mirror, nonce());
        let asked = mirror.ask(|keys| keys.lease(&mirror.keys, &self.field, &new));
        let (found, lease) = match asked.await {
            Ok(answer) => answer,
            Err(error @ LoadError::Unread { .. }) => {
                tracing::debug!(error = %report(&error), "what is loaded will not be stored");
                return Ok(Leased::Gap(None));
            }
            Err(error) => return Err(error),
        };
        match self.take(&found).value? {
            Some(value) => Ok(Leased::Entry(value)),
            None => Ok(Leased::Gap(Some(lease))),
        }
    }

    /// Keeps what was found, unless it was overtaken.
    fn take(&self, found: &Found) -> Entry<V> {
        let entry = self.mirror.entry(&self.field, found.entry.as_deref());
        let mut cache = self.mirror.lock();
        if found.entry.is_some() && cache.loading.has(&self.key, self.ticket) {
            cache.keep(self.key.clone(), entry.clone(), &found.stamp);
        }
        entry
    }

    /// Stores what was loaded, unless it was overtaken; what there is then. The caller gets a value
    /// whether or not it could be stored.
    async fn store(&self, loaded: V, lease: Option<&str>) -> Arc<V> {
        let mirror = &self.mirror;
        let (payload, value) = match mirror.encoded(&self.field, &loaded) {
            Ok(encoded) => encoded,
            Err(error) => {
                tracing::warn!(error = %report(&error), "what was loaded cannot be stored");
                return Arc::new(loaded);
            }
        };
        let Some(lease) = lease else {
            return value;
        };
        let only = Only::IfLeased(lease);
        let written = mirror.write(&self.key, &self.field, &payload, Arc::clone(&value), only);
        let stored = match written.await {
            Ok(None) => None,
            // Somebody else was first, or it was invalidated while it was loaded.
            Ok(Some(found)) => mirror.entry(&self.field, found.entry.as_deref()).value.ok(),
            Err(error) => {
                tracing::warn!(error = %report(&error), "what was loaded was not stored");
                None
            }
        };
        stored.flatten().unwrap_or(value)
    }

    /// Tells all who wait. Who comes later loads anew.
    fn land(&self, loaded: Loaded<V>) {
        self.mirror.lock().loading.end(&self.key, self.ticket);
        self.outcome.send_replace(Some(loaded));
    }
}

impl<K: Key, V: Shareable> Drop for Load<K, V> {
    fn drop(&mut self) {
        self.mirror.lock().loading.end(&self.key, self.ticket);
    }
}

enum Leased<V> {
    Entry(Arc<V>),
    Gap(Option<String>),
}

impl<E> Clone for LoadOrError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Load(error) => Self::Load(error.clone()),
            Self::Loader { shared, source } => Self::Loader {
                shared: shared.clone(),
                source: Arc::clone(source),
            },
        }
    }
}

impl<E> fmt::Display for LoadOrError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Loader { shared, .. } => write!(f, "the loader of `{shared}` failed"),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for LoadOrError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Loader { source, .. } => write!(f, "{self}: {source:?}"),
        }
    }
}

impl<E: Error + 'static> Error for LoadOrError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Load(error) => error.source(),
            Self::Loader { source, .. } => Some(&**source),
        }
    }
}
