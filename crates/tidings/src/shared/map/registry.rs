//! The maps that a bus uses, by their names, and the notices of their changes.

use std::any::{Any, type_name};
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::Deserialize;

use super::mirror::Mirror;
use crate::failure::Failure;
use crate::life::Inner;
use crate::notices::{Listener, Notice};
use crate::reports::Reports;
use crate::shared::ShareError;
use crate::shared::keeper::Stamp;
use crate::transport::keyspace::maps::NOTICE;
use crate::worker::panic_text;

/// One mirror for each map, for as long as somebody has it.
pub(crate) struct Maps {
    known: Mutex<HashMap<String, Used>>,
    reports: Arc<Reports>,
}

struct Used {
    type_name: &'static str,
    mirror: Weak<dyn Any + Send + Sync>,
    hears: Weak<dyn Hears>,
}

/// What was heard of a map.
#[derive(Debug)]
pub(crate) struct Heard {
    /// Which entry changed; `None` for any.
    pub(crate) key: Option<String>,
    /// The map's stamp after the change, and the mark before it, from who knows them.
    pub(crate) moved: Option<(Stamp, String)>,
}

/// Somebody who takes note of what is heard, and waits for nothing.
pub(crate) trait Hears: Send + Sync {
    fn hear(&self, heard: Heard);

    /// What is here may not be what Redis has.
    fn doubt(&self);
}

/// A notice as it travels. Programs that are no bus may leave all but the map away.
#[derive(Deserialize)]
struct Told {
    map: String,
    key: Option<String>,
    version: Option<u64>,
    nonce: Option<String>,
    was: Option<String>,
}

impl Maps {
    /// The maps of this bus, which hears of their changes from the first use on.
    pub(crate) fn of(inner: &Inner) -> &Arc<Self> {
        inner.maps.get_or_init(|| {
            let maps = Arc::new(Self {
                known: Mutex::default(),
                reports: Arc::clone(&inner.reports),
            });
            let listener = Arc::clone(&maps);
            inner.dispatcher.listen(NOTICE, listener);
            maps
        })
    }

    /// The mirror of this map that the bus has, or else a new one.
    pub(crate) fn mirror<K, V>(
        &self,
        name: &str,
        make: impl FnOnce() -> Arc<Mirror<K, V>>,
    ) -> Result<Arc<Mirror<K, V>>, ShareError>
    where
        Mirror<K, V>: Hears + 'static,
        K: 'static,
        V: 'static,
    {
        let mut known = self.lock();
        if let Some(known) = known.get(name)
            && let Some(mirror) = known.mirror.upgrade()
        {
            return mirror.downcast().map_err(|_| ShareError::Conflict {
                shared: name.to_owned(),
                first: known.type_name,
                second: type_name::<(K, V)>(),
            });
        }
        known.retain(|_, known| known.mirror.strong_count() > 0);
        let mirror = make();
        let (any, hears) = (Arc::downgrade(&mirror), Arc::downgrade(&mirror));
        let entry = Used {
            type_name: type_name::<(K, V)>(),
            mirror: any,
            hears,
        };
        known.insert(name.to_owned(), entry);
        Ok(mirror)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Used>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Maps {
    fn hear(&self, notice: &Notice<'_>) {
        let told: Told = match notice.payload.decode() {
            Ok(told) => told,
            Err(source) => {
                return self.reports.failure(Failure::Payload {
                    event: NOTICE.to_owned(),
                    handler: "shared maps".into(),
                    from: notice.from,
                    number: None,
                    source,
                });
            }
        };
        let hears = self.lock().get(&told.map).map(|known| known.hears.clone());
        let Some(hears) = hears.and_then(|hears| hears.upgrade()) else {
            return;
        };
        // The keys are the application's code, and this task hears for everybody.
        let hearing = AssertUnwindSafe(|| hears.hear(told.into()));
        if let Err(panic) = catch_unwind(hearing) {
            let panic = panic_text(&*panic);
            tracing::error!(panic, "a change of a map could not be taken in");
            hears.doubt();
        }
    }
}

impl From<Told> for Heard {
    fn from(told: Told) -> Self {
        let stamp = told.version.zip(told.nonce);
        let moved = stamp.zip(told.was).map(|((version, nonce), was)| {
            let stamp = Stamp { version, nonce };
            (stamp, was)
        });
        Self {
            key: told.key,
            moved,
        }
    }
}

impl fmt::Debug for Maps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maps").finish_non_exhaustive()
    }
}
