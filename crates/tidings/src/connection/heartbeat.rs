//! The heartbeat: checks end to end that this process receives what it sends.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::connect::ConnectError;
use crate::error::send_failure::SendFailure;
use crate::task::mutex::Mutex;

/// The shortest interval of keepalives.
const MIN_KEEPALIVE: Duration = Duration::from_millis(250);

/// The end of the send connection.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) why: ConnectError,
    /// True if no frame was in flight.
    pub(crate) was_idle: bool,
}

/// The state of the heartbeat, shared by the receive task and the send task.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    /// The silence after which the position is published, and the maximum wait for its echo.
    pub(crate) interval: Duration,
    /// The receive task requests a heartbeat.
    pub(crate) wanted: Notify,
    /// The send task reports that its connection cannot be used any more.
    pub(crate) broken: Notify,
    why_broken: Mutex<Option<Broken>>,
    /// The echo of a frame over a replaced send connection was received.
    pub(crate) proven: Notify,
    /// The error with which Redis rejected the last attempt to reconnect, if it did: after a change
    /// of permissions, for example.
    pub(crate) refused: Mutex<Option<SendFailure>>,
    published: Mutex<Option<Instant>>,
    /// The interval of keepalives on each connection.
    keepalive: Mutex<Duration>,
}

impl Heartbeat {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            wanted: Notify::new(),
            broken: Notify::new(),
            why_broken: Mutex::default(),
            proven: Notify::new(),
            refused: Mutex::default(),
            published: Mutex::default(),
            keepalive: Mutex::new(interval),
        }
    }

    /// The interval of keepalives on each connection.
    pub(crate) fn keepalive(&self) -> Duration {
        *self.keepalive.lock()
    }

    /// Shortens the keepalive interval: a connection was cut that was idle for `quiet`.
    pub(crate) fn was_cut(&self, quiet: Duration) {
        let mut keepalive = self.keepalive.lock();
        *keepalive = shortened(*keepalive, quiet.min(*keepalive));
    }

    /// Reports that the send connection cannot be used any more.
    pub(crate) fn report(&self, broken: Broken) {
        *self.why_broken.lock() = Some(broken);
        self.broken.notify_one();
    }

    /// Takes the last report of the send task.
    pub(crate) fn take_report(&self) -> Broken {
        let broken = self.why_broken.lock().take();
        broken.unwrap_or(Broken {
            why: ConnectError::Lost,
            was_idle: false,
        })
    }

    /// Records that Redis accepted a frame that was sent at this time, so that its echo has to
    /// arrive. The first frame without an echo counts: later ones must not extend the wait. The time
    /// of sending is used, not that of the reply, because the echo can arrive before the reply.
    pub(crate) fn published(&self, at: Instant) {
        self.published.lock().get_or_insert(at);
    }

    /// The time at which the first own frame without an echo was sent. Frames of other nodes do not
    /// count: they may come from another server than the one that this node sends to.
    pub(crate) fn awaited(&self, echoed: Instant) -> Option<Instant> {
        let mut published = self.published.lock();
        *published = published.filter(|published| *published > echoed);
        *published
    }
}

/// Returns the keepalive interval after a connection was cut that was idle for `quiet`.
fn shortened(every: Duration, quiet: Duration) -> Duration {
    let half = quiet / 2;
    if half < MIN_KEEPALIVE {
        // It was not cut for being idle.
        return every;
    }
    every.min(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keepalives_are_sent_more_often_after_an_idle_connection_was_cut() {
        let seconds = Duration::from_secs_f64;
        for (every, quiet, then) in [
            (5.0, 2.0, 1.0),
            (5.0, 4.0, 2.0),
            (2.0, 2.0, 1.0),
            // It was not cut for being idle.
            (5.0, 0.4, 5.0),
        ] {
            let is = shortened(seconds(every), seconds(quiet));
            assert_eq!(is, seconds(then), "{every} {quiet}");
        }
    }

    #[test]
    fn only_the_first_accepted_frame_without_an_echo_is_awaited() {
        let heartbeat = Heartbeat::new(Duration::from_secs(5));
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(heartbeat.awaited(began), None);
        heartbeat.published(after(1));
        heartbeat.published(after(2));
        assert_eq!(heartbeat.awaited(began), Some(after(1)));
        assert_eq!(heartbeat.awaited(after(3)), None);
        // The echo arrived before Redis's reply.
        heartbeat.published(after(2));
        assert_eq!(heartbeat.awaited(after(3)), None);
    }
}
