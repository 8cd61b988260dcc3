//! From an event's name to the subscriptions that want it. No I/O.

use std::any::TypeId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::error::subscribe::SubscribeError;
use crate::event::Names;
use crate::receive::control::{ControlListener, ControlListeners};
use crate::receive::request::Respond;
use crate::receive::routes::Table;
use crate::receive::subscription::SubscriptionSlot;

/// The subscriptions of a bus, and what else events are for.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    table: Mutex<Table>,
    /// Somebody listens who did not before, or does not any more.
    pub(crate) changed: Notify,
    /// What the bus's own parts hear.
    pub(crate) control: Arc<ControlListeners>,
    /// Who waits for answers, and who gives them.
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

    /// Adds a subscription, unless the bus ends.
    pub(crate) fn add(
        &self,
        subscription: Arc<SubscriptionSlot>,
        names: Names,
        shares: Option<TypeId>,
    ) -> Result<(), SubscribeError> {
        self.lock().add(subscription, names, shares)?;
        self.changed.notify_one();
        Ok(())
    }

    /// Lets a part of the bus hear its own events.
    pub(crate) fn listen(&self, name: &'static str, listener: Arc<dyn ControlListener>) {
        self.control.add(name, listener);
        self.changed.notify_one();
    }

    /// Takes a subscription out; its queue is left as it is.
    pub(crate) fn remove(&self, id: u64) {
        self.lock().remove(id);
        self.changed.notify_one();
    }

    /// Takes all subscriptions out: the bus ends.
    pub(crate) fn clear(&self) -> Vec<Arc<SubscriptionSlot>> {
        let all = self.lock().end();
        self.changed.notify_one();
        all
    }

    /// Whether no event can have a handler here.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
