//! The bus: the handle that a program holds to receive and to send.

pub(crate) mod inner;
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

/// A process's place on the bus: hears and sends events. Cheap to clone; when the last clone is
/// dropped, its tasks end, and what waits in its handlers' queues is dropped. The one that a
/// handler is given does not count.
///
/// ```
/// use tidings::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bus = Bus::builder("memory:docs").start().await?;
/// bus.on("cache.clear", |key: String| async move { println!("drop {key}") })?;
/// bus.send_to_all("cache.clear", "user:7").await?;
/// bus.shutdown(std::time::Duration::from_secs(5)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Bus {
    pub(crate) inner: Arc<Inner>,
    /// What the application holds; a handler's bus does not.
    pub(crate) guard: Option<Arc<BusGuard>>,
    /// What is sent through this clone fails at once while Redis is away.
    pub(crate) is_volatile: bool,
}

impl Bus {
    /// Polls a future in the runtime of the bus: what takes time can then be awaited on a thread
    /// that is none of Tokio's.
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

    /// Takes a subscription out, and drops what waits for it.
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

/// A bus that may be gone.
#[derive(Clone)]
pub(crate) struct WeakBus(Weak<Inner>);

impl WeakBus {
    /// The bus, if it is still there. It does not keep it alive.
    pub(crate) fn upgrade(&self) -> Option<Bus> {
        self.0.upgrade().map(|inner| Bus {
            inner,
            guard: None,
            is_volatile: false,
        })
    }
}
