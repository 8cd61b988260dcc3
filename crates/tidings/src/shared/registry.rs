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
            // This may be its last use, and its drop runs the application's code.
            drop(by_name);
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
    use std::thread;
    use std::time::{Duration, Instant};

    use futures_util::future::BoxFuture;
    use serde::Deserialize;

    use super::*;
    use crate::keyspace::stamp::Stamp;
    use crate::observe::health::Counts;
    use crate::shared::refresh::{Outcome, RefreshState};

    #[derive(Deserialize)]
    struct FakeChanged;

    impl ChangeNotification for FakeChanged {
        const EVENT: &'static str = "tidings.fake";
        const HANDLER: &'static str = "a fake";

        fn name(&self) -> &'static str {
            "limit"
        }
    }

    /// A replica whose last value uses the registry when it is dropped. `N` makes other types.
    struct Fake<const N: u8> {
        registry: Arc<ReplicaRegistry<FakeChanged>>,
        /// The handle of the application, which it drops while its type is compared.
        handle: Mutex<Option<Arc<Self>>>,
        dropped: Sender<()>,
    }

    impl<const N: u8> Drop for Fake<N> {
        fn drop(&mut self) {
            drop(format!("{:?}", self.registry));
            let _ = self.dropped.send(());
        }
    }

    impl<const N: u8> ChangeListener<FakeChanged> for Fake<N> {
        fn receive(&self, _: FakeChanged, _: &ControlEvent<'_>) {}

        fn type_name(&self) -> &'static str {
            drop(self.handle.lock().take());
            "a fake"
        }
    }

    impl<const N: u8> Replica for Fake<N> {
        fn key(&self) -> &'static str {
            "limit"
        }

        fn stamp(&self) -> Option<Stamp> {
            None
        }

        fn refresh_state(&self) -> &RefreshState {
            unreachable!("it is not refreshed")
        }

        fn confirm(&self) {}

        fn refresh(self: Arc<Self>) -> BoxFuture<'static, Outcome> {
            unreachable!("it is not refreshed")
        }

        fn became_unreachable(&self, _: Instant) {}
    }

    #[test]
    fn a_value_that_is_dropped_while_its_type_is_compared_may_use_the_registry() {
        let reports = Arc::new(Reports::new(Arc::new(Counts::new())));
        let registry = ReplicaRegistry::new(reports);
        let (tell, dropped) = channel();
        // On a thread that nobody waits for: one that hangs is left behind.
        thread::spawn(move || {
            let fake = || Fake::<0> {
                registry: Arc::clone(&registry),
                handle: Mutex::default(),
                dropped: tell,
            };
            let made = registry.get_or_insert("limit", "a fake", || Arc::new(fake()));
            let made = made.unwrap();
            *made.handle.lock() = Some(Arc::clone(&made));
            drop(made);
            let other = registry.get_or_insert::<Fake<1>>("limit", "another", || unreachable!());
            assert!(matches!(other, Err(SharedError::Conflict { .. })));
        });

        let dropped = dropped.recv_timeout(Duration::from_secs(10));

        assert_ne!(dropped, Err(RecvTimeoutError::Timeout));
    }
}
