//! One registered handler: its place in the bus, what it is given, and the token to take it back.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::error::subscribe::SubscribeError;
use crate::observe::metrics::Level;
use crate::observe::reports::GapBox;
use crate::receive::queue::{Bounds, Overflow, Queue};

/// How events wait for a handler, and how it is called.
///
/// | | default |
/// |---|---|
/// | [`queue`](Self::queue) | 32,768 events, and 16 MiB |
/// | [`concurrency`](Self::concurrency) | 1: one after the other, in order |
/// | [`timeout`](Self::timeout) | 30 s |
/// | [`overflow`](Self::overflow) | [`Overflow::Block`] |
///
/// ```
/// # use tidings::prelude::*;
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let bus = Bus::builder("memory:handling-docs").start().await?;
/// let handling = HandlerOptions::new()
///     .queue(10_000)
///     .concurrency(8)
///     .timeout(Duration::from_secs(5))
///     .overflow(Overflow::DropOldest);
/// bus.on_with("order.placed", handling, |order: u64| async move { println!("order {order}") })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "give it to `on_with`"]
pub struct HandlerOptions {
    pub(crate) queue: usize,
    pub(crate) bytes: usize,
    pub(crate) concurrency: usize,
    pub(crate) timeout: Duration,
    pub(crate) overflow: Overflow,
}

impl Default for HandlerOptions {
    fn default() -> Self {
        Self {
            queue: 32_768,
            bytes: 16 << 20,
            concurrency: 1,
            timeout: Duration::from_secs(30),
            overflow: Overflow::default(),
        }
    }
}

impl HandlerOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many events may wait for this handler. Their payloads are bounded too, at 16 MiB.
    pub fn queue(self, events: usize) -> Self {
        Self {
            queue: events,
            ..self
        }
    }

    /// How many calls of this handler may be under way at once. With more than one, events are
    /// begun in order and may end in any. The calls take turns on one task: for work that keeps a
    /// processor busy, spawn from within the handler.
    pub fn concurrency(self, calls: usize) -> Self {
        Self {
            concurrency: calls,
            ..self
        }
    }

    /// How long one call may take. After that it is dropped at its next `.await`, and reported.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// What happens to events that find the queue full. Whatever is dropped is counted and
    /// reported as a [`Gap`](crate::Gap).
    pub fn overflow(self, overflow: Overflow) -> Self {
        Self { overflow, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), SubscribeError> {
        let what = match self {
            Self { queue: 0, .. } => "queue",
            Self { concurrency: 0, .. } => "concurrency",
            Self {
                timeout: Duration::ZERO,
                ..
            } => "timeout",
            _ => return Ok(()),
        };
        Err(SubscribeError::Zero { what })
    }
}

/// A registered handler, to take back with [`Bus::off`](crate::Bus::off). Dropping it leaves the
/// handler registered.
pub struct Subscription {
    pub(crate) subscription: Arc<SubscriptionSlot>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription")
            .field(&self.subscription.handler)
            .finish()
    }
}

/// A subscription as the bus sees it.
#[derive(Debug)]
pub(crate) struct SubscriptionSlot {
    pub(crate) id: u64,
    /// What people call it: the event's name and the handler's type.
    pub(crate) handler: Arc<str>,
    pub(crate) handling: HandlerOptions,
    pub(crate) queue: Queue,
    /// The gaps it hears, if it is a handler of gaps.
    pub(crate) gaps: Option<Arc<GapBox>>,
    /// Its task, once it is spawned.
    pub(crate) task: OnceLock<AbortHandle>,
    /// Whether no call runs, nor will: from the start for a stream, which has no task, and otherwise
    /// when its task is over, also while that is not spawned yet.
    pub(crate) has_ended: watch::Sender<bool>,
    /// How many events its task has taken out of the queue and not begun with.
    taken: AtomicUsize,
    /// How many events its task has begun with.
    begun: AtomicU64,
}

impl SubscriptionSlot {
    /// The place of a stream: it has no task.
    pub(crate) fn of_stream(handler: Arc<str>) -> Self {
        Self {
            has_ended: watch::Sender::new(true),
            ..Self::new(handler, HandlerOptions::new())
        }
    }

    /// The place of a handler of events.
    pub(crate) fn new(handler: Arc<str>, handling: HandlerOptions) -> Self {
        let level = Level::of_queue(&handler);
        Self::with_level(handler, handling, level)
    }

    /// The place of a handler of gaps: no event ever waits in its queue.
    pub(crate) fn of_gaps(handler: Arc<str>, gaps: Arc<GapBox>) -> Self {
        Self {
            gaps: Some(gaps),
            ..Self::with_level(handler, HandlerOptions::new(), Level::of_nothing())
        }
    }

    fn with_level(handler: Arc<str>, handling: HandlerOptions, level: Level) -> Self {
        // Across all buses of the process, so that a token can never mean another bus's handler.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let bounds = Bounds {
            events: handling.queue,
            bytes: handling.bytes,
        };
        let queue = Queue::new(bounds, level);
        let (task, has_ended) = (OnceLock::new(), watch::Sender::new(false));
        Self {
            id,
            handler,
            handling,
            queue,
            gaps: None,
            task,
            has_ended,
            taken: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
        }
    }

    /// Its task begins with one more event, and has this many left of what it took out of the queue.
    pub(crate) fn begin(&self, left: usize) {
        self.taken.store(left, Ordering::Relaxed);
        // Only its task writes this.
        let begun = self.begun.load(Ordering::Relaxed);
        self.begun.store(begun + 1, Ordering::Relaxed);
    }

    /// How many events its task has begun with.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Waits until no call runs any more. A handler that asks about itself does not wait.
    pub(crate) async fn ended(&self) {
        if running() != Some(self.id) {
            // The sender lives in `self`, so waiting cannot fail.
            let _ = self.has_ended.subscribe().wait_for(|ended| *ended).await;
        }
    }

    /// Lets nothing more be handled; how many events that leaves.
    pub(crate) fn close(&self) -> u64 {
        self.gaps.iter().for_each(|gaps| drop(gaps.take()));
        self.queue.close() + self.taken.swap(0, Ordering::Relaxed) as u64
    }

    /// Takes nothing new; what waits is still handled.
    pub(crate) fn drain(&self) {
        self.gaps.iter().for_each(|gaps| gaps.close());
        self.queue.drain();
    }
}

tokio::task_local! {
    /// The subscription whose handler is running here.
    static RUNNING: u64;
}

/// The subscription whose handler calls this, if one does.
pub(crate) fn running() -> Option<u64> {
    RUNNING.try_with(|running| *running).ok()
}

/// The task of a subscription: what is called within knows where it is, and others learn when it
/// is over, also if it is dropped before it began.
pub(crate) fn in_subscription(
    subscription: &Arc<SubscriptionSlot>,
    running: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static {
    let ended = Ended(Arc::clone(subscription));
    async move {
        let id = ended.0.id;
        RUNNING.scope(id, running).await;
    }
}

/// Says that a subscription's task is over, however it ended.
struct Ended(Arc<SubscriptionSlot>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.has_ended.send_replace(true);
    }
}
