//! Keepalives over a connection that only receives: proxies cut one whose client is silent.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::resp::Client;
use crate::transport::server::role::hello;

/// The times of the last and the next keepalive.
pub(super) struct Keepalive {
    pub(super) sent: Instant,
    /// The interval; no keepalives without one.
    every: Option<Duration>,
    next: Pin<Box<Sleep>>,
}

impl Keepalive {
    pub(super) fn new() -> Self {
        let sent = Instant::now();
        Self {
            sent,
            every: None,
            next: Box::pin(sleep_until(sent)),
        }
    }

    pub(super) fn set(&mut self, every: Duration) {
        self.every = Some(every);
        self.next.as_mut().reset(self.sent + every);
    }

    /// Sends a keepalive if one is due, and wakes the caller when the next one is.
    pub(super) fn poll(&mut self, client: &Client, cx: &mut Context<'_>) {
        let Some(every) = self.every else {
            return;
        };
        while self.next.poll_unpin(cx).is_ready() {
            self.sent = Instant::now();
            self.next.as_mut().reset(self.sent + every);
            // Every user may run HELLO. The answer is ignored.
            drop(client.send(&hello()));
        }
    }
}
