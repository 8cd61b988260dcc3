//! A task that can also be moved on by who has work for it, from where that one is: to wake another
//! thread takes longer than most of the work.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use tokio::runtime::Handle;

use crate::task::panic::panic_text;

/// Nobody polls the future.
const RESTING: u8 = 0;
/// Somebody polls the future.
const POLLED: u8 = 1;
/// Somebody polls the future, and has to do so once more: what it waits for came meanwhile.
const WOKEN: u8 = 2;

/// How often somebody who is not its task polls the future in a row.
const ROUNDS: usize = 4;

/// The future of a task, for the task and for those who move it on.
pub(crate) struct InlineTask {
    /// `None` once it has ended.
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    state: AtomicU8,
    /// Somebody moved it on, and the task has not looked since.
    was_moved_on: AtomicBool,
    task: AtomicWaker,
    /// Where its timers and connections live, wherever it is moved on from.
    runtime: Handle,
}

/// The task's hold on the future: neither outlives the other.
struct Task(Arc<InlineTask>);

impl InlineTask {
    /// The future, and the task that it now is.
    pub(crate) fn new(
        future: impl Future<Output = ()> + Send + 'static,
        runtime: Handle,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let driven = Arc::new(Self {
            future: Mutex::new(Some(Box::pin(future))),
            state: AtomicU8::new(RESTING),
            was_moved_on: AtomicBool::new(false),
            task: AtomicWaker::new(),
            runtime,
        });
        let task = Task(Arc::clone(&driven));
        (driven, async move {
            poll_fn(|cx| {
                task.0.task.register(cx.waker());
                task.0.was_moved_on.store(false, Ordering::Relaxed);
                task.0.poll()
            })
            .await;
        })
    }

    /// Moves it on here and now, once; then it is the turn of the task. So whoever has much to do
    /// does not do it piece by piece.
    pub(crate) fn move_on(self: &Arc<Self>) {
        if self.was_moved_on.swap(true, Ordering::Relaxed) {
            return self.wake_by_ref();
        }
        let _entered = self.runtime.enter();
        let polled = catch_unwind(AssertUnwindSafe(|| self.poll()));
        if let Err(panic) = &polled {
            // It is ours, and no fault of the one who moved it on.
            tracing::error!(panic = panic_text(&**panic), "the task that sends panicked");
            self.end();
        }
        if !matches!(polled, Ok(Poll::Pending)) {
            self.task.wake();
        }
    }

    /// Polls the future. Where somebody does so already, that one does it once more.
    fn poll(self: &Arc<Self>) -> Poll<()> {
        if !self.begin() {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(self));
        let mut cx = Context::from_waker(&waker);
        for _ in 0..ROUNDS {
            let polled = match &mut *self.lock() {
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
        // There is no end to it, and who only came by has other things to do.
        self.state.store(RESTING, Ordering::SeqCst);
        self.task.wake();
        Poll::Pending
    }

    /// Whether nobody polls the future, so that it is for the caller to do.
    fn begin(&self) -> bool {
        let next = |state| match state {
            RESTING => Some(POLLED),
            _ => Some(WOKEN),
        };
        let before = self
            .state
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        before == Ok(RESTING)
    }

    /// Whether nothing came while it was polled; otherwise it is to be polled once more.
    fn rest(&self) -> bool {
        let before =
            self.state
                .compare_exchange(POLLED, RESTING, Ordering::SeqCst, Ordering::SeqCst);
        if before.is_err() {
            self.state.store(POLLED, Ordering::SeqCst);
        }
        before.is_ok()
    }

    fn end(&self) {
        let ended = self.lock().take();
        self.state.store(RESTING, Ordering::SeqCst);
        // Only now: what it gives up on its way takes locks of its own.
        drop(ended);
    }

    fn lock(&self) -> MutexGuard<'_, Option<BoxFuture<'static, ()>>> {
        self.future.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the future waits for has come.
impl Wake for InlineTask {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let next = |state| (state != RESTING).then_some(WOKEN);
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

    /// A future that counts how often it is asked, and ends at the third time.
    fn third_time(asked: &Arc<AtomicU32>) -> impl Future<Output = ()> + Send + 'static {
        let asked = Arc::clone(asked);
        poll_fn(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Poll::Pending,
            _ => Poll::Ready(()),
        })
    }

    #[tokio::test]
    async fn it_is_moved_on_from_elsewhere_and_the_task_ends_with_it() {
        let asked = Arc::default();
        let (driven, task) = InlineTask::new(third_time(&asked), Handle::current());
        let task = tokio::spawn(task);
        tokio::task::yield_now().await;
        driven.move_on();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        driven.move_on();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        task.await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_task_that_is_dropped_takes_the_future_with_it() {
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let future = async move {
            std::future::pending::<()>().await;
            drop(inside);
        };
        let (driven, task) = InlineTask::new(future, Handle::current());
        drop(task);
        assert_eq!(Arc::strong_count(&held), 1);
        driven.move_on();
    }

    #[tokio::test]
    async fn a_panic_within_ends_the_task_and_not_the_one_who_moved_it_on() {
        let (driven, task) =
            InlineTask::new(async { panic!("a mistake of ours") }, Handle::current());
        driven.move_on();
        assert_eq!(task.now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn who_finds_it_polled_has_it_polled_once_more() {
        let asked: Arc<AtomicU32> = Arc::default();
        let (counted, own) = (
            Arc::clone(&asked),
            Arc::new(OnceLock::<Arc<InlineTask>>::new()),
        );
        let inside = Arc::clone(&own);
        // Whoever looks while it is polled is this one itself, in the midst of it.
        let future = poll_fn(move |_| {
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                inside.get().unwrap().wake_by_ref();
            }
            Poll::Pending
        });
        let (driven, _task) = InlineTask::new(future, Handle::current());
        own.set(Arc::clone(&driven)).unwrap();
        driven.move_on();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn what_wakes_it_without_end_is_left_to_the_task() {
        let asked: Arc<AtomicU32> = Arc::default();
        let counted = Arc::clone(&asked);
        let future = poll_fn(move |cx| {
            counted.fetch_add(1, Ordering::SeqCst);
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        let (driven, _task) = InlineTask::new(future, Handle::current());
        driven.move_on();
        assert_eq!(asked.load(Ordering::SeqCst) as usize, ROUNDS);
    }
}
