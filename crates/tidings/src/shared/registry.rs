//! The replicas of a bus by name. Receives their change notifications.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use serde::de::DeserializeOwned;

use crate::error::failure::Failure;
use crate::error::shared::SharedError;
use crate::observe::reports::Reports;
use crate::receive::control::{ControlEvent, ControlListener};
use crate::shared::replica::Replica;
use crate::task::mutex::Mutex;
use crate::task::panic::caught;

/// The payload of a change notification.
pub(crate) trait ChangeNotification: DeserializeOwned + 'static {
    const EVENT: &'static str;

    /// The name of its receiver in failures.
    const HANDLER: &'static str;

    /// The name of the changed value or map.
    fn name(&self) -> &str;
}

/// A replica that receives change notifications: a shared value or map of any type.
pub(crate) trait ChangeListener<A>: Replica + Any {
    /// Applies a change without blocking.
    fn receive(&self, notification: A, event: &ControlEvent<'_>);

    fn type_name(&self) -> &'static str;
}

/// The shared values, or maps, of one bus, for as long as they are used.
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

    /// Returns the replica of this name, which `make` creates if there is none.
    pub(crate) fn get_or_insert<V: ChangeListener<A>>(
        &self,
        name: &str,
        type_name: &'static str,
        make: impl FnOnce() -> Arc<V>,
    ) -> Result<Arc<V>, SharedError> {
        let mut by_name = self.by_name.lock();
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

impl<A: ChangeNotification> ControlListener for ReplicaRegistry<A> {
    fn receive(&self, event: &ControlEvent<'_>) {
        let notification: A = match event.payload.decode() {
            Ok(notification) => notification,
            Err(source) => {
                return self.reports.unreadable(Failure::Payload {
                    event: A::EVENT.to_owned(),
                    handler: A::HANDLER.into(),
                    sender: event.from,
                    sequence: None,
                    source,
                });
            }
        };
        let known = self
            .by_name
            .lock()
            .get(notification.name())
            .and_then(Weak::upgrade);
        let Some(known) = known else {
            return;
        };
        // The code of the application's keys and values must not end this task.
        if let Err(panic) = caught(|| known.receive(notification, event)) {
            tracing::error!(
                key = known.key(),
                panic,
                "cannot apply a change notification"
            );
            known.refresh_state().request_refresh();
        }
    }
}

impl<A> fmt::Debug for ReplicaRegistry<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.lock().keys()).finish()
    }
}
