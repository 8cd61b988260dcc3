//! Signs of life over a connection that only receives: proxies cut one whose client says nothing.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::transport::server::role::hello;

/// When something was said last, and when the next thing is.
pub(super) struct Life {
    pub(super) said: Instant,
    /// None is shown without an interval.
    every: Option<Duration>,
    next: Pin<Box<Sleep>>,
    /// The last sign, until it is answered.
    sign: Option<BoxFuture<'static, ()>>,
}

impl Life {
    pub(super) fn new() -> Self {
        let said = Instant::now();
        Self {
            said,
            every: None,
            next: Box::pin(sleep_until(said)),
            sign: None,
        }
    }

    pub(super) fn show(&mut self, every: Duration) {
        self.every = Some(every);
        self.next.as_mut().reset(self.said + every);
    }

    /// Whether there is something to write. The caller is woken when the next sign is due.
    pub(super) fn poll(
        &mut self,
        connection: &MultiplexedConnection,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(every) = self.every else {
            return false;
        };
        if let Some(sign) = &mut self.sign
            && sign.poll_unpin(cx).is_ready()
        {
            self.sign = None;
        }
        if self.next.poll_unpin(cx) == Poll::Pending {
            return false;
        }
        self.said = Instant::now();
        self.next.as_mut().reset(self.said + every);
        // So that it wakes the caller.
        let _ = self.next.poll_unpin(cx);
        if self.sign.is_some() {
            // One that is not answered says enough.
            return false;
        }
        let mut connection = connection.clone();
        // Every user may ask this. What is answered is of no interest.
        let mut sign = async move { drop(hello(&mut connection).await) }.boxed();
        if sign.poll_unpin(cx).is_pending() {
            self.sign = Some(sign);
        }
        true
    }
}
