//! Keepalives over a connection that only receives: proxies cut one whose client is silent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::transport::server::role::hello;

/// The times of the last and the next keepalive.
pub(super) struct Keepalive {
    pub(super) sent: Instant,
    /// The interval; no keepalives without one.
    every: Option<Duration>,
    next: Pin<Box<Sleep>>,
    /// The last keepalive, until its reply.
    pending: Option<BoxFuture<'static, ()>>,
}

impl Keepalive {
    pub(super) fn new() -> Self {
        let sent = Instant::now();
        Self {
            sent,
            every: None,
            next: Box::pin(sleep_until(sent)),
            pending: None,
        }
    }

    pub(super) fn set(&mut self, every: Duration) {
        self.every = Some(every);
        self.next.as_mut().reset(self.sent + every);
    }

    /// Returns true if there is something to write. Wakes the caller when the next keepalive is due.
    pub(super) fn poll(
        &mut self,
        connection: &MultiplexedConnection,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(every) = self.every else {
            return false;
        };
        if let Some(pending) = &mut self.pending
            && pending.poll_unpin(cx).is_ready()
        {
            self.pending = None;
        }
        if self.next.poll_unpin(cx) == Poll::Pending {
            return false;
        }
        self.sent = Instant::now();
        self.next.as_mut().reset(self.sent + every);
        // Registers the waker.
        let _ = self.next.poll_unpin(cx);
        if self.pending.is_some() {
            // One without a reply is enough.
            return false;
        }
        let mut connection = connection.clone();
        // Every user may run HELLO. The reply is ignored.
        let mut pending = async move { drop(hello(&mut connection).await) }.boxed();
        if pending.poll_unpin(cx).is_pending() {
            self.pending = Some(pending);
        }
        true
    }
}
