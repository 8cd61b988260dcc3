//! Shared values and maps of a bus.

use std::any::type_name;
use std::fmt::Display;
use std::hash::Hash;
use std::str::FromStr;
use std::sync::{Arc, Weak};

use tidings_codec::check_name;
use tokio::sync::watch;

use crate::bus::Bus;
use crate::bus::inner::Inner;
use crate::error::shared::SharedError;
use crate::shared::map::SharedMap;
use crate::shared::map::options::MapOptions;
use crate::shared::map::replica::{MapContext, MapReplica};
use crate::shared::options::{Shareable, SharedOptions};
use crate::shared::replica::Replica;
use crate::shared::snapshot::Current;
use crate::shared::updates::Updates;
use crate::shared::value::Shared;
use crate::shared::value_replica::ValueReplica;
use crate::task::mutex::Mutex;
use crate::task::stage::Stage;

impl Bus {
    /// Returns a handle of a value that all processes of the namespace share. All handles of one bus
    /// use one copy; this call itself reads nothing from Redis.
    ///
    /// # Errors
    ///
    /// When the name breaks the rules of event names, this bus has a value of another type under it,
    /// or the bus is shut down.
    pub fn shared<T: Shareable>(&self, name: &str) -> Result<Shared<T>, SharedError> {
        self.shared_with(name, SharedOptions::default())
    }

    /// Returns a shared value as [`shared`](Self::shared) does, with options such as a time to live.
    ///
    /// # Errors
    ///
    /// As [`shared`](Self::shared).
    pub fn shared_with<T: Shareable>(
        &self,
        name: &str,
        options: SharedOptions,
    ) -> Result<Shared<T>, SharedError> {
        let inner = &*self.inner;
        check(inner, name)?;
        let replica = inner
            .known(&inner.shared)
            .get_or_insert(name, type_name::<T>(), || replica(inner, name))?;
        if let Some(policy) = options.when_lost {
            *replica.when_lost.lock() = policy;
        }
        let options = Arc::new(options);
        Ok(Shared { replica, options })
    }

    /// Returns a handle of a map that all processes of the namespace share. All handles of one bus use
    /// one cache; this call itself reads nothing from Redis.
    ///
    /// Keys are written as text with `Display` and read with `FromStr`: the text of a key must parse to
    /// an equal key.
    ///
    /// # Errors
    ///
    /// When the name breaks the rules of event names, this bus has a map of that name with other
    /// types, or is shut down.
    pub fn map<K, V>(&self, name: &str) -> Result<SharedMap<K, V>, SharedError>
    where
        K: Display + FromStr + Eq + Hash + Clone + Send + Sync + 'static,
        V: Shareable,
    {
        self.map_with(name, MapOptions::new())
    }

    /// Returns a map as [`map`](Self::map) does, with options for its cache. The options of the first
    /// call are used.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    pub fn map_with<K, V>(
        &self,
        name: &str,
        options: MapOptions,
    ) -> Result<SharedMap<K, V>, SharedError>
    where
        K: Display + FromStr + Eq + Hash + Clone + Send + Sync + 'static,
        V: Shareable,
    {
        let inner = &self.inner;
        check(inner, name)?;
        let known = inner.known(&inner.maps);
        let replica = known.get_or_insert(name, type_name::<(K, V)>(), || {
            let reconciler = inner.reconciler();
            let replica = Arc::new(MapReplica::new(
                inner.namespace.map(name),
                inner.outgoing.format,
                options,
                MapContext {
                    keyspace: Arc::clone(&inner.keyspace),
                    reports: Arc::clone(&inner.reports),
                    refresh_state: reconciler.refresh_state(),
                },
            ));
            let weak: Weak<MapReplica<K, V>> = Arc::downgrade(&replica);
            reconciler.add(weak as Weak<dyn Replica>);
            replica
        })?;
        Ok(SharedMap { replica })
    }
}

/// Checks that a value or a map can be shared under this name, and that the bus is not shut down.
fn check(inner: &Inner, name: &str) -> Result<(), SharedError> {
    if *inner.stage.borrow() >= Stage::Leaving {
        return Err(SharedError::Closed);
    }
    check_name(name).map_err(|source| SharedError::Name {
        shared: name.to_owned(),
        source,
    })
}

fn replica<T: Shareable>(inner: &Inner, name: &str) -> Arc<ValueReplica<T>> {
    let reconciler = inner.reconciler();
    let replica = Arc::new(ValueReplica {
        name: name.into(),
        key: inner.namespace.shared(name),
        format: inner.outgoing.format,
        current: watch::Sender::new(Current::Unread),
        refresh_state: reconciler.refresh_state(),
        updates: Updates::default(),
        keyspace: Arc::clone(&inner.keyspace),
        reports: Arc::clone(&inner.reports),
        when_lost: Mutex::default(),
    });
    let keyspace: Arc<dyn Replica> = Arc::clone(&replica) as _;
    reconciler.add(Arc::downgrade(&keyspace));
    replica
}
