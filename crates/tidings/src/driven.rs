//! A task that can also be moved on by who has work for it, from where that one is: to wake another
//! thread takes longer than most of the work.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use crate::worker::panic_text;

/// The future of a task, for the task and for those who move it on.
pub(crate) struct Driven {
    /// `None` once it has ended.
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    /// The task could not get at the future because somebody else was moving it on.
    was_busy: AtomicBool,
    /// Where its timers and connections live, wherever it is moved on from.
    runtime: Handle,
}

/// The task's hold on the future: neither outlives the other.
struct Task(Arc<Driven>);

impl Driven {
    /// The future, and the task that it now is.
    pub(crate) fn new(
        future: impl Future<Output = ()> + Send + 'static,
        runtime: Handle,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let driven = Arc::new(Self {
            future: Mutex::new(Some(Box::pin(future))),
            was_busy: AtomicBool::new(false),
            runtime,
        });
        let task = Task(Arc::clone(&driven));
        (driven, async move {
            poll_fn(|cx| task.0.poll_as_task(cx)).await;
        })
    }

    /// Moves it on here and now, on behalf of the task that `waker` wakes. Where it is being moved
    /// on already, the task is woken, for it may have looked too early.
    pub(crate) fn move_on(&self, waker: &Waker) {
        let Some(mut future) = self.try_lock() else {
            return waker.wake_by_ref();
        };
        let _entered = self.runtime.enter();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            poll(&mut future, &mut Context::from_waker(waker))
        }));
        let ended = match polled {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(())) => future.take(),
            Err(panic) => {
                // It is ours, and no fault of the one who moved it on.
                tracing::error!(panic = panic_text(&*panic), "the task that sends panicked");
                future.take()
            }
        };
        drop(future);
        if ended.is_some() || self.was_busy.swap(false, Ordering::SeqCst) {
            waker.wake_by_ref();
        }
    }

    fn poll_as_task(&self, cx: &mut Context<'_>) -> Poll<()> {
        let future = self.try_lock().or_else(|| {
            self.was_busy.store(true, Ordering::SeqCst);
            // Who had it may have left before that was set, and will not wake this task.
            self.try_lock()
        });
        future.map_or(Poll::Pending, |mut future| poll(&mut future, cx))
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Option<BoxFuture<'static, ()>>>> {
        match self.future.try_lock() {
            Ok(future) => Some(future),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<BoxFuture<'static, ()>>> {
        self.future.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn poll(future: &mut Option<BoxFuture<'static, ()>>, cx: &mut Context<'_>) -> Poll<()> {
    match future {
        Some(future) => future.as_mut().poll(cx),
        None => Poll::Ready(()),
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let ended = self.0.lock().take();
        // Only now: what it gives up on its way takes locks of its own.
        drop(ended);
    }
}

impl fmt::Debug for Driven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driven").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use futures_util::FutureExt;
    use futures_util::task::noop_waker;

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
        let (driven, task) = Driven::new(third_time(&asked), Handle::current());
        let task = tokio::spawn(task);
        tokio::task::yield_now().await;
        driven.move_on(&noop_waker());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        driven.move_on(&waker);
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        task.abort();
        let _ = task.await;
    }

    #[tokio::test]
    async fn a_task_that_is_dropped_takes_the_future_with_it() {
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let future = async move {
            std::future::pending::<()>().await;
            drop(inside);
        };
        let (driven, task) = Driven::new(future, Handle::current());
        drop(task);
        assert_eq!(Arc::strong_count(&held), 1);
        driven.move_on(&noop_waker());
    }

    #[tokio::test]
    async fn a_panic_within_ends_the_task_and_not_the_one_who_moved_it_on() {
        let (driven, task) = Driven::new(async { panic!("a mistake of ours") }, Handle::current());
        driven.move_on(&noop_waker());
        assert_eq!(task.now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn a_task_that_finds_it_busy_is_woken_when_it_is_free() {
        let (driven, task) = Driven::new(std::future::pending(), Handle::current());
        let busy = driven.lock();
        let mut task = Box::pin(task);
        assert!(task.as_mut().now_or_never().is_none());
        assert!(driven.was_busy.load(Ordering::SeqCst));
        drop(busy);
        driven.move_on(&noop_waker());
        assert!(!driven.was_busy.load(Ordering::SeqCst));
    }
}
