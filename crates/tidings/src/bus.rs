//! The handle of a bus; its methods are in `api`.

pub(crate) mod contract;
pub(crate) mod inner;
pub(crate) mod inspector;
pub(crate) mod journal;
pub(crate) mod shutdown;
pub(crate) mod start;
pub(crate) mod states;

use std::fmt;
use std::sync::{Arc, Weak};

use tokio_util::context::TokioContext;

use crate::bus::inner::Inner;
use crate::bus::shutdown::BusGuard;
use crate::bus::states::States;
use crate::observe::reports::Reports;
use crate::receive::subscription::SubscriptionSlot;

/// The handle of a process to send and receive events.
///
/// A `Bus` is cheap to clone. When the last clone is dropped, the tasks of the bus end and events in
/// the queues of its handlers are dropped; use [`shutdown`](Self::shutdown) to handle them first. The
/// clone that a handler receives does not keep the bus alive.
///
/// ```
/// use tidings::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// let bus = Bus::builder("memory:docs").start().await?;
/// bus.on("cache.clear", |key: String| async move { println!("drop {key}") })?;
/// bus.send_to_all("cache.clear", "user:7").await?;
/// bus.shutdown(std::time::Duration::from_secs(5)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "the bus and its handlers end when its last clone is dropped"]
pub struct Bus {
    pub(crate) inner: Arc<Inner>,
    /// Keeps the bus alive. A clone that a handler receives has none.
    pub(crate) guard: Option<Arc<BusGuard>>,
    /// Sends through this clone fail at once while Redis is unreachable.
    pub(crate) is_volatile: bool,
}

impl Bus {
    /// Polls a future in the runtime of the bus, so that timers work on a thread outside of Tokio.
    pub(crate) fn in_runtime<F: Future>(&self, future: F) -> TokioContext<F> {
        TokioContext::new(future, self.inner.runtime.clone())
    }

    pub(crate) fn from_inner(inner: Inner) -> Self {
        let inner = Arc::new(inner);
        let guard = Some(Arc::new(BusGuard(Arc::clone(&inner))));
        Self {
            inner,
            guard,
            is_volatile: false,
        }
    }

    /// Removes a subscription and drops the events in its queue.
    pub(crate) fn remove(&self, subscription: &SubscriptionSlot) {
        self.inner.dispatcher.remove(subscription.id);
        self.inner.reports.remove(subscription.id);
        subscription.close();
    }

    pub(crate) fn states(&self) -> &States {
        &self.inner.states
    }

    pub(crate) fn reports(&self) -> &Reports {
        &self.inner.reports
    }

    pub(crate) fn downgrade(&self) -> WeakBus {
        WeakBus(Arc::downgrade(&self.inner))
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("id", &self.inner.me)
            .field("address", &self.inner.health.address)
            .finish_non_exhaustive()
    }
}

/// A handle that does not keep the bus alive.
#[derive(Clone)]
pub(crate) struct WeakBus(Weak<Inner>);

impl WeakBus {
    /// The bus, if it still exists.
    pub(crate) fn upgrade(&self) -> Option<Bus> {
        self.0.upgrade().map(|inner| Bus {
            inner,
            guard: None,
            is_volatile: false,
        })
    }
}
