//! The check whether this process still receives what it sends, end to end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::error::connect::ConnectError;

/// The shortest time between two signs of life.
const SHORTEST_LIFE: Duration = Duration::from_millis(250);

/// What became of the connection that sends.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) why: ConnectError,
    /// It ended while nothing was under way over it.
    pub(crate) was_idle: bool,
}

/// Asks, through the path that every event takes, whether this process still hears.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    /// How long nothing may be heard before the link asks, and how long the answer may take.
    pub(crate) interval: Duration,
    /// The link wants a sign of life sent.
    pub(crate) wanted: Notify,
    /// The sender says that its connection is of no use.
    pub(crate) broken: Notify,
    why_broken: Mutex<Option<Broken>>,
    /// What was sent over a connection that was made again has come back.
    pub(crate) proven: Notify,
    /// What Redis said when it refused to let this bus connect anew.
    pub(crate) refused: Mutex<Option<Arc<str>>>,
    published: Mutex<Option<Instant>>,
    /// How often each connection shows a sign of life.
    life: Mutex<Duration>,
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
            life: Mutex::new(interval),
        }
    }

    /// How often each connection shows a sign of life.
    pub(crate) fn life(&self) -> Duration {
        *lock(&self.life)
    }

    /// A connection over which nothing was said for this long at most was cut.
    pub(crate) fn was_cut(&self, quiet: Duration) {
        let mut life = lock(&self.life);
        *life = more_often(*life, quiet.min(*life));
    }

    /// The connection that sends is of no use.
    pub(crate) fn report(&self, broken: Broken) {
        *lock(&self.why_broken) = Some(broken);
        self.broken.notify_one();
    }

    /// Why nothing can be sent, where that is not for want of a server: it refuses this bus, such as
    /// for a permission that was taken away.
    pub(crate) fn refusal(&self) -> Option<Arc<str>> {
        lock(&self.refused).clone()
    }

    /// What was said of the connection that sends.
    pub(crate) fn take_report(&self) -> Broken {
        let broken = lock(&self.why_broken).take();
        broken.unwrap_or(Broken {
            why: ConnectError::Lost,
            was_idle: false,
        })
    }

    /// Redis took a frame of ours that was handed to it at this time: it has to come back. The first
    /// that has not is what counts: later ones must not put the answer off. The time of the answer
    /// would be of no use: the frame itself may come first.
    pub(crate) fn published(&self, at: Instant) {
        lock(&self.published).get_or_insert(at);
    }

    /// When a frame of ours was published that has not come back. One that Redis did not take
    /// proves nothing, and neither does a frame of another: it may come from a server on which we
    /// do not send.
    pub(crate) fn awaited(&self, echoed: Instant) -> Option<Instant> {
        let mut published = lock(&self.published);
        *published = published.filter(|published| *published > echoed);
        *published
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often to show signs of life after a connection was cut that had said nothing for a while.
fn more_often(every: Duration, quiet: Duration) -> Duration {
    let half = quiet / 2;
    if half < SHORTEST_LIFE {
        // It had just said something.
        return every;
    }
    every.min(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_life_come_more_often_where_silence_was_cut() {
        let seconds = Duration::from_secs_f64;
        for (every, quiet, then) in [
            (5.0, 2.0, 1.0),
            (5.0, 4.0, 2.0),
            (2.0, 2.0, 1.0),
            // It was not cut for its silence.
            (5.0, 0.4, 5.0),
        ] {
            let is = more_often(seconds(every), seconds(quiet));
            assert_eq!(is, seconds(then), "{every} {quiet}");
        }
    }

    #[test]
    fn only_the_first_probe_that_redis_took_is_awaited() {
        let heartbeat = Heartbeat::new(Duration::from_secs(5));
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(heartbeat.awaited(began), None);
        heartbeat.published(after(1));
        heartbeat.published(after(2));
        assert_eq!(heartbeat.awaited(began), Some(after(1)));
        assert_eq!(heartbeat.awaited(after(3)), None);
        // It came back before Redis's answer was seen.
        heartbeat.published(after(2));
        assert_eq!(heartbeat.awaited(after(3)), None);
    }
}
