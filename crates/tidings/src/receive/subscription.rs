//! A subscription: its options, its slot in the bus, and the token that removes it.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::error::subscribe::SubscribeError;
use crate::observe::metrics::Level;
use crate::observe::reports::GapBox;
use crate::receive::calls::{CallCounts, CallsSoFar};
use crate::receive::queue::{Bounds, Overflow, Queue};

/// Options of a handler: its queue, concurrency, timeout and overflow policy.
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
/// # let bus = Bus::builder("memory:handler-options-docs").start().await?;
/// let options = HandlerOptions::new()
///     .queue(10_000)
///     .concurrency(8)
///     .timeout(Duration::from_secs(5))
///     .overflow(Overflow::DropOldest);
/// bus.on_with("order.placed", options, |order: u64| async move { println!("order {order}") })?;
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

    /// The maximum number of events that wait for this handler. Their payloads are limited to
    /// 16 MiB.
    pub fn queue(self, events: usize) -> Self {
        Self {
            queue: events,
            ..self
        }
    }

    /// The maximum number of concurrent calls of this handler. With more than one, calls begin in
    /// order and may end in any order. The calls share one task: for CPU-bound work, spawn tasks
    /// in the handler.
    pub fn concurrency(self, calls: usize) -> Self {
        Self {
            concurrency: calls,
            ..self
        }
    }

    /// The time after which a call is cancelled at its next `.await`, and reported.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The policy for events that find the queue full. Dropped events are counted and reported as
    /// a [`Gap`](crate::Gap).
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

/// A registered handler, for [`Bus::off`](crate::Bus::off). Dropping this leaves the handler
/// registered.
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

/// The bus's state of a subscription.
#[derive(Debug)]
pub(crate) struct SubscriptionSlot {
    pub(crate) id: u64,
    /// The event's name and the handler's type, for reports.
    pub(crate) handler: Arc<str>,
    pub(crate) options: HandlerOptions,
    pub(crate) queue: Queue,
    /// The pending gaps, if it is a handler of gaps.
    pub(crate) gaps: Option<Arc<GapBox>>,
    /// The task, once it is spawned.
    pub(crate) task: OnceLock<AbortHandle>,
    /// True when no call runs or will run: when the task has ended, and always for a stream, which
    /// has no task.
    pub(crate) has_ended: watch::Sender<bool>,
    /// The number of events that the task has taken out of the queue and not begun.
    taken: AtomicUsize,
    /// The number of events that the task has begun.
    begun: AtomicU64,
    /// The counts of the calls.
    pub(crate) calls: CallCounts,
}

impl SubscriptionSlot {
    /// Creates the slot of a stream, which has no task.
    pub(crate) fn of_stream(handler: Arc<str>) -> Self {
        Self {
            has_ended: watch::Sender::new(true),
            ..Self::new(handler, HandlerOptions::new())
        }
    }

    /// Creates the slot of an event handler.
    pub(crate) fn new(handler: Arc<str>, options: HandlerOptions) -> Self {
        let level = Level::of_queue(&handler);
        Self::with_level(handler, options, level)
    }

    /// Creates the slot of a gap handler, whose queue stays empty.
    pub(crate) fn of_gaps(handler: Arc<str>, gaps: Arc<GapBox>) -> Self {
        Self {
            gaps: Some(gaps),
            ..Self::with_level(handler, HandlerOptions::new(), Level::of_nothing())
        }
    }

    fn with_level(handler: Arc<str>, options: HandlerOptions, level: Level) -> Self {
        // Unique in the process, so that a token never matches a handler of another bus.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let bounds = Bounds {
            events: options.queue,
            bytes: options.bytes,
        };
        let queue = Queue::new(bounds, level);
        let (task, has_ended) = (OnceLock::new(), watch::Sender::new(false));
        Self {
            id,
            handler,
            options,
            queue,
            gaps: None,
            task,
            has_ended,
            taken: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            calls: CallCounts::default(),
        }
    }

    /// The task begins an event, and has `left` more that it took out of the queue.
    pub(crate) fn begin(&self, left: usize) {
        self.taken.store(left, Ordering::Relaxed);
        // Only its task writes this.
        let begun = self.begun.load(Ordering::Relaxed);
        self.begun.store(begun + 1, Ordering::Relaxed);
    }

    /// The number of events that the task has begun.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// The number of events that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len() + self.taken.load(Ordering::Relaxed)
    }

    /// Returns the counts of its calls so far.
    pub(crate) fn calls_so_far(&self) -> CallsSoFar {
        self.calls.so_far(self.begun(), self.options.concurrency)
    }

    /// Waits until no call runs. Returns at once if the subscription's own handler calls it.
    pub(crate) async fn ended(&self) {
        if running() != Some(self.id) {
            // The sender lives in `self`, so waiting cannot fail.
            let _ = self.has_ended.subscribe().wait_for(|ended| *ended).await;
        }
    }

    /// Closes the queue and returns the number of events that are not handled.
    pub(crate) fn close(&self) -> u64 {
        self.gaps.iter().for_each(|gaps| drop(gaps.take()));
        self.queue.close() + self.taken.swap(0, Ordering::Relaxed) as u64
    }

    /// Accepts no new events; those in the queue are still handled.
    pub(crate) fn drain(&self) {
        self.gaps.iter().for_each(|gaps| gaps.close());
        self.queue.drain();
    }
}

tokio::task_local! {
    /// The id of the subscription whose handler runs in this task.
    static RUNNING: u64;
}

/// The id of the subscription whose handler calls this, if one does.
pub(crate) fn running() -> Option<u64> {
    RUNNING.try_with(|running| *running).ok()
}

/// Wraps the task of a subscription: sets [`running`] in it, and `has_ended` when it ends or is
/// dropped, even before its first poll. Boxed, so that tokio's spawn is not compiled for each handler.
pub(crate) fn in_subscription(
    subscription: &Arc<SubscriptionSlot>,
    running: BoxFuture<'static, ()>,
) -> BoxFuture<'static, ()> {
    let ended = Ended(Arc::clone(subscription));
    Box::pin(async move {
        let id = ended.0.id;
        RUNNING.scope(id, running).await;
    })
}

/// Sets `has_ended` when it is dropped.
struct Ended(Arc<SubscriptionSlot>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.has_ended.send_replace(true);
    }
}
