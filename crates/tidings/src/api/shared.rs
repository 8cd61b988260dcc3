//! Shared values and maps of a bus.

use std::any::type_name;
use std::fmt::Display;
use std::hash::Hash;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tidings_codec::check_name;
use tokio::sync::watch;

use crate::bus::Bus;
use crate::bus::inner::Inner;
use crate::error::shared::SharedError;
use crate::shared::map::SharedMap;
use crate::shared::map::caching::MapOptions;
use crate::shared::map::replica::{Mirror, Surroundings};
use crate::shared::options::SharedOptions;
use crate::shared::reconciler::Copy;
use crate::shared::shareable::Shareable;
use crate::shared::snapshot::Here;
use crate::shared::updates::Updates;
use crate::shared::value::Shared;
use crate::shared::value_replica::ValueCopy;
use crate::task::stage::Stage;

impl Bus {
    /// A value that all processes of the namespace share. There is one copy of it on this bus,
    /// whoever asks; asking reads nothing.
    ///
    /// # Errors
    ///
    /// When the name breaks the rules of event names, this bus has a value of another type under it,
    /// or it is shut down.
    pub fn shared<T: Shareable>(&self, name: &str) -> Result<Shared<T>, SharedError> {
        self.shared_with(name, SharedOptions::default())
    }

    /// As [`shared`](Self::shared), with a time to live, or values that travel with their notices.
    ///
    /// # Errors
    ///
    /// As [`shared`](Self::shared).
    pub fn shared_with<T: Shareable>(
        &self,
        name: &str,
        sharing: SharedOptions,
    ) -> Result<Shared<T>, SharedError> {
        let inner = &*self.inner;
        check(inner, name)?;
        let copy = inner
            .known(&inner.shared)
            .get_or_insert(name, type_name::<T>(), || copy(inner, name))?;
        if let Some(policy) = sharing.when_lost {
            *copy
                .when_lost
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = policy;
        }
        let sharing = Arc::new(sharing);
        Ok(Shared { copy, sharing })
    }

    /// A map that all processes of the namespace share. Asking for it changes nothing, and asks
    /// nothing of Redis. All of this bus's maps of one name are one.
    ///
    /// `K` is written as text with `Display`, and read again with `FromStr`: the text must give back
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

    /// As [`map`](Self::map), with as much of it at hand as you choose. Who asks for it first
    /// decides.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    pub fn map_with<K, V>(
        &self,
        name: &str,
        caching: MapOptions,
    ) -> Result<SharedMap<K, V>, SharedError>
    where
        K: Display + FromStr + Eq + Hash + Clone + Send + Sync + 'static,
        V: Shareable,
    {
        let inner = &self.inner;
        check(inner, name)?;
        let known = inner.known(&inner.maps);
        let mirror = known.get_or_insert(name, type_name::<(K, V)>(), || {
            let keeper = inner.keeper();
            let mirror = Arc::new(Mirror::new(
                inner.namespace.map(name),
                inner.outgoing.format,
                caching,
                Surroundings {
                    kept: Arc::clone(&inner.kept),
                    reports: Arc::clone(&inner.reports),
                    runtime: inner.runtime.clone(),
                    care: keeper.care(),
                },
            ));
            let copy: Weak<Mirror<K, V>> = Arc::downgrade(&mirror);
            keeper.add(copy as Weak<dyn Copy>);
            mirror
        })?;
        Ok(SharedMap { mirror })
    }
}

/// Whether something can be shared under this name, for as long as handlers may run.
fn check(inner: &Inner, name: &str) -> Result<(), SharedError> {
    if *inner.stage.borrow() >= Stage::Leaving {
        return Err(SharedError::Closed);
    }
    check_name(name).map_err(|source| SharedError::Name {
        shared: name.to_owned(),
        source,
    })
}

fn copy<T: Shareable>(inner: &Inner, name: &str) -> Arc<ValueCopy<T>> {
    let keeper = inner.keeper();
    let copy = Arc::new(ValueCopy {
        name: name.into(),
        key: inner.namespace.shared(name),
        format: inner.outgoing.format,
        here: watch::Sender::new(Here::Nothing),
        care: keeper.care(),
        updates: Updates::default(),
        runtime: inner.runtime.clone(),
        kept: Arc::clone(&inner.kept),
        reports: Arc::clone(&inner.reports),
        stage: inner.stage.subscribe(),
        when_lost: Mutex::default(),
    });
    let kept: Arc<dyn Copy> = Arc::clone(&copy) as _;
    keeper.add(Arc::downgrade(&kept));
    copy
}
