//! What a bus shares under which name, and what it hears of that.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::de::DeserializeOwned;

use crate::error::failure::Failure;
use crate::error::shared::SharedError;
use crate::observe::reports::Reports;
use crate::receive::control::{ControlEvent, ControlListener};
use crate::shared::reconciler::Replica;
use crate::task::panic::caught;

/// What an event says that announces a change.
pub(crate) trait ChangeNotification: DeserializeOwned + 'static {
    /// The event's name.
    const EVENT: &'static str;

    /// Who hears it, for people.
    const HEARERS: &'static str;

    /// The name of what was changed.
    fn name(&self) -> &str;
}

/// What changes are announced of: a shared value or map of any type.
pub(crate) trait ChangeListener<A>: Replica + Any {
    /// Takes note of a change, and waits for nothing.
    fn receive(&self, announced: A, event: &ControlEvent<'_>);

    fn type_name(&self) -> &'static str;
}

/// The shared values, or maps, of one bus, for as long as somebody has them.
pub(crate) struct ReplicaRegistry<A> {
    by_name: Mutex<HashMap<String, Weak<dyn ChangeListener<A>>>>,
    reports: Arc<Reports>,
}

impl<A: ChangeNotification> ReplicaRegistry<A> {
    pub(crate) fn new(reports: Arc<Reports>) -> Arc<Self> {
        Arc::new(Self {
            by_name: Mutex::default(),
            reports,
        })
    }

    /// What has this name, made if it is not there.
    pub(crate) fn get_or_insert<V: ChangeListener<A>>(
        &self,
        name: &str,
        type_name: &'static str,
        make: impl FnOnce() -> Arc<V>,
    ) -> Result<Arc<V>, SharedError> {
        let mut by_name = self.lock();
        if let Some(known) = by_name.get(name).and_then(Weak::upgrade) {
            let first = known.type_name();
            let known: Arc<dyn Any + Send + Sync> = known;
            return known.downcast().map_err(|_| SharedError::Conflict {
                shared: name.to_owned(),
                first,
                second: type_name,
            });
        }
        by_name.retain(|_, known| known.strong_count() > 0);
        let made = make();
        let known: Arc<dyn ChangeListener<A>> = Arc::clone(&made) as _;
        by_name.insert(name.to_owned(), Arc::downgrade(&known));
        Ok(made)
    }
}

impl<A> ReplicaRegistry<A> {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<dyn ChangeListener<A>>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: ChangeNotification> ControlListener for ReplicaRegistry<A> {
    fn receive(&self, event: &ControlEvent<'_>) {
        let announced: A = match event.payload.decode() {
            Ok(announced) => announced,
            Err(source) => {
                return self.reports.unreadable(Failure::Payload {
                    event: A::EVENT.to_owned(),
                    handler: A::HEARERS.into(),
                    sender: event.from,
                    sequence: None,
                    source,
                });
            }
        };
        let known = self.lock().get(announced.name()).and_then(Weak::upgrade);
        let Some(known) = known else {
            return;
        };
        // Keys and values are the application's code, and this task hears for everybody.
        if let Err(panic) = caught(|| known.receive(announced, event)) {
            tracing::error!(key = known.key(), panic, "a change could not be taken in");
            known.refresh_state().behind();
        }
    }
}

impl<A> fmt::Debug for ReplicaRegistry<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}
