//! A task that can also be polled inline by a caller that has work for it, instead of waking its
//! thread.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use tokio::runtime::Handle;

use crate::task::mutex::Mutex;
use crate::task::panic::panic_text;

/// The future is not being polled.
const IDLE: u8 = 0;
/// The future is being polled.
const POLLED: u8 = 1;
/// The future is being polled, and was woken: it has to be polled again.
const WOKEN: u8 = 2;

/// The maximum number of polls in a row.
const ROUNDS: usize = 4;

/// The future of a task, which the task and callers poll.
pub(crate) struct InlineTask {
    /// `None` once it has ended.
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    state: AtomicU8,
    /// True if a caller has polled it since the task's last poll.
    was_polled_inline: AtomicBool,
    task: AtomicWaker,
    /// The runtime of its timers and connections.
    runtime: Handle,
}

/// The task's handle: the future ends with the task.
struct Task(Arc<InlineTask>);

impl InlineTask {
    /// Returns the handle for callers, and the task to spawn.
    pub(crate) fn new(
        future: impl Future<Output = ()> + Send + 'static,
        runtime: Handle,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let inline = Arc::new(Self {
            future: Mutex::new(Some(Box::pin(future))),
            state: AtomicU8::new(IDLE),
            was_polled_inline: AtomicBool::new(false),
            task: AtomicWaker::new(),
            runtime,
        });
        let task = Task(Arc::clone(&inline));
        (inline, async move {
            poll_fn(|cx| {
                task.0.task.register(cx.waker());
                task.0.was_polled_inline.store(false, Ordering::Relaxed);
                task.0.poll()
            })
            .await;
        })
    }

    /// Polls the future inline, once until the task's next poll; otherwise wakes the task, so that
    /// much work is not done in small pieces.
    pub(crate) fn poll_inline(self: &Arc<Self>) {
        if self.was_polled_inline.swap(true, Ordering::Relaxed) {
            return self.wake_by_ref();
        }
        let _entered = self.runtime.enter();
        let polled = catch_unwind(AssertUnwindSafe(|| self.poll()));
        if let Err(panic) = &polled {
            // A bug of tidings, not of the caller.
            tracing::error!(panic = panic_text(&**panic), "the send task panicked");
            self.end();
        }
        if !matches!(polled, Ok(Poll::Pending)) {
            self.task.wake();
        }
    }

    /// Polls the future. If it is being polled already, the other thread polls it again.
    fn poll(self: &Arc<Self>) -> Poll<()> {
        if !self.begin() {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(self));
        let mut cx = Context::from_waker(&waker);
        for _ in 0..ROUNDS {
            let polled = match &mut *self.future.lock() {
                Some(future) => future.as_mut().poll(&mut cx),
                None => Poll::Ready(()),
            };
            if polled.is_ready() {
                self.end();
                return polled;
            }
            if self.rest() {
                return Poll::Pending;
            }
        }
        // The rest is for the task.
        self.state.store(IDLE, Ordering::SeqCst);
        self.task.wake();
        Poll::Pending
    }

    /// Returns true if the future was idle, so that the caller has to poll it.
    fn begin(&self) -> bool {
        let next = |state| match state {
            IDLE => Some(POLLED),
            _ => Some(WOKEN),
        };
        let before = self
            .state
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        before == Ok(IDLE)
    }

    /// Returns false if the future was woken while it was polled: it has to be polled again.
    fn rest(&self) -> bool {
        let before = self
            .state
            .compare_exchange(POLLED, IDLE, Ordering::SeqCst, Ordering::SeqCst);
        if before.is_err() {
            self.state.store(POLLED, Ordering::SeqCst);
        }
        before.is_ok()
    }

    fn end(&self) {
        let ended = self.future.lock().take();
        self.state.store(IDLE, Ordering::SeqCst);
        // After the state is set: its `Drop` takes other locks.
        drop(ended);
    }
}

impl Wake for InlineTask {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let next = |state| (state != IDLE).then_some(WOKEN);
        let noted = self
            .state
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        if noted.is_err() {
            self.task.wake();
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl fmt::Debug for InlineTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InlineTask").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicU32;

    use futures_util::FutureExt;

    use super::*;

    /// A future that counts its polls, and ends at the third.
    fn third_poll(polls: &Arc<AtomicU32>) -> impl Future<Output = ()> + Send + 'static {
        let polls = Arc::clone(polls);
        poll_fn(move |_| match polls.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Poll::Pending,
            _ => Poll::Ready(()),
        })
    }

    #[tokio::test]
    async fn a_caller_polls_the_future_once_and_the_task_ends_with_it() {
        let polls = Arc::default();
        let (inline, task) = InlineTask::new(third_poll(&polls), Handle::current());
        let task = tokio::spawn(task);
        tokio::task::yield_now().await;
        inline.poll_inline();
        assert_eq!(polls.load(Ordering::SeqCst), 2);
        inline.poll_inline();
        assert_eq!(polls.load(Ordering::SeqCst), 2);
        task.await.unwrap();
        assert_eq!(polls.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn the_future_is_dropped_with_its_task() {
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let future = async move {
            std::future::pending::<()>().await;
            drop(inside);
        };
        let (inline, task) = InlineTask::new(future, Handle::current());
        drop(task);
        assert_eq!(Arc::strong_count(&held), 1);
        inline.poll_inline();
    }

    #[tokio::test]
    async fn a_panic_in_the_future_ends_the_task_and_not_the_caller() {
        let (inline, task) = InlineTask::new(async { panic!("on purpose") }, Handle::current());
        inline.poll_inline();
        assert_eq!(task.now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn a_wake_up_during_a_poll_causes_another_poll() {
        let polls: Arc<AtomicU32> = Arc::default();
        let (counted, own) = (
            Arc::clone(&polls),
            Arc::new(OnceLock::<Arc<InlineTask>>::new()),
        );
        let inside = Arc::clone(&own);
        let future = poll_fn(move |_| {
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                inside.get().unwrap().wake_by_ref();
            }
            Poll::Pending
        });
        let (inline, _task) = InlineTask::new(future, Handle::current());
        own.set(Arc::clone(&inline)).unwrap();
        inline.poll_inline();
        assert_eq!(polls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_caller_stops_polling_a_future_that_wakes_itself_without_end() {
        let polls: Arc<AtomicU32> = Arc::default();
        let counted = Arc::clone(&polls);
        let future = poll_fn(move |cx| {
            counted.fetch_add(1, Ordering::SeqCst);
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        let (inline, _task) = InlineTask::new(future, Handle::current());
        inline.poll_inline();
        assert_eq!(polls.load(Ordering::SeqCst) as usize, ROUNDS);
    }
}
