//! A queue with one reader, which ends when it is closed.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::MutexGuard;
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::task::mutex::Mutex;

/// A queue with one reader. What is put into it, and how much, is up to those who lock it.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    state: Mutex<MailboxState<T>>,
    reader: AtomicWaker,
}

#[derive(Debug)]
pub(crate) struct MailboxState<T> {
    pub(crate) waiting: VecDeque<T>,
    pub(crate) is_closed: bool,
}

impl<T> Mailbox<T> {
    /// Locks the queue. [`wake`](Self::wake) must follow if something was put into it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, MailboxState<T>> {
        self.state.lock()
    }

    pub(crate) fn wake(&self) {
        self.reader.wake();
    }

    /// Ends the queue after what waits.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.wake();
    }

    /// Ends the queue, and returns what waits.
    pub(crate) fn take(&self) -> VecDeque<T> {
        self.close();
        std::mem::take(&mut self.lock().waiting)
    }

    pub(crate) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<T>> {
        self.reader.register(cx.waker());
        let mut state = self.lock();
        match state.waiting.pop_front() {
            Some(item) => Poll::Ready(Some(item)),
            None if state.is_closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    pub(crate) async fn next(&self) -> Option<T> {
        poll_fn(|cx| self.poll_next(cx)).await
    }
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        let state = MailboxState {
            waiting: VecDeque::new(),
            is_closed: false,
        };
        Self {
            state: Mutex::new(state),
            reader: AtomicWaker::new(),
        }
    }
}
