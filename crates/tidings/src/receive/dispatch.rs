//! The subscriptions of a bus, and the listeners of its control events. No I/O.

use std::any::TypeId;
use std::sync::{Arc, MutexGuard};

use tokio::sync::Notify;

use crate::error::subscribe::SubscribeError;
use crate::event::Names;
use crate::receive::control::{ControlListener, ControlListeners};
use crate::receive::request::Respond;
use crate::receive::routes::Table;
use crate::receive::subscription::SubscriptionSlot;
use crate::task::mutex::Mutex;

/// The subscriptions, control listeners and requests of a bus.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    table: Mutex<Table>,
    /// Notifies all waiters when a subscription or a control listener is added or removed.
    pub(crate) changed: Notify,
    pub(crate) control: Arc<ControlListeners>,
    pub(crate) requests: Arc<dyn Respond>,
}

impl Dispatcher {
    pub(crate) fn new(requests: Arc<dyn Respond>) -> Self {
        Self {
            table: Mutex::default(),
            changed: Notify::new(),
            control: Arc::default(),
            requests,
        }
    }

    /// Adds a subscription, unless the bus shuts down.
    pub(crate) fn add(
        &self,
        subscription: Arc<SubscriptionSlot>,
        names: Names,
        shares: Option<TypeId>,
    ) -> Result<(), SubscribeError> {
        self.lock().add(subscription, names, shares)?;
        self.changed.notify_waiters();
        Ok(())
    }

    /// Adds a listener of control events.
    pub(crate) fn listen(&self, name: &'static str, listener: Arc<dyn ControlListener>) {
        self.control.add(name, listener);
        self.changed.notify_waiters();
    }

    /// Removes a subscription. Its queue stays as it is.
    pub(crate) fn remove(&self, id: u64) {
        self.lock().remove(id);
        self.changed.notify_waiters();
    }

    /// Removes and returns all subscriptions: the bus shuts down.
    pub(crate) fn clear(&self) -> Vec<Arc<SubscriptionSlot>> {
        let all = self.lock().end();
        self.changed.notify_waiters();
        all
    }

    /// Returns true once all subscriptions were removed for good.
    pub(crate) fn is_over(&self) -> bool {
        self.lock().is_over()
    }

    /// Returns true if there are no subscriptions.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }
}
