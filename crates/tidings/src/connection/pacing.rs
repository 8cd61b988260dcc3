//! Pacing: the sender polls the output buffers of subscribers in Redis, and waits for those that
//! are behind and catching up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::{Instant, sleep};

use crate::transport::{Backlog, Publisher, Subscriber};

/// The number of sent bytes between two polls.
pub(crate) const POLL_EVERY: usize = 4 << 20;

/// The size of an output buffer from which a subscriber is behind. Redis disconnects it at 32 MiB.
const BEHIND: usize = 2 << 20;

/// The time without progress after which a subscriber is not awaited any more: one process that
/// does not read must not stop all senders. Redis will disconnect it.
///
/// A slow subscriber makes no progress here while it reads what its kernel has buffered, which may be
/// several MiB. With 1 s, eight of them that shared two cores with four senders were cut off.
const STALL_TIMEOUT: Duration = Duration::from_secs(3);

/// The pause between two polls while a subscriber is behind.
const PAUSE: Duration = Duration::from_millis(2);

/// The subscribers that are behind.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    behind: HashMap<Subscriber, Behind, RandomState>,
}

/// A subscriber that is behind: the least bytes in its buffer, and the time of that.
#[derive(Clone, Copy, Debug)]
struct Behind {
    bytes: usize,
    since: Instant,
}

impl Pacer {
    /// Waits for subscribers that are catching up. Returns the number of bytes until the next poll.
    pub(crate) async fn wait(mut self, publisher: Arc<dyn Publisher>) -> (usize, Self) {
        loop {
            // Without the permission for it, only the send window limits the rate.
            let Some(backlogs) = publisher.backlogs().await else {
                return (usize::MAX, self);
            };
            if !self.must_wait(&backlogs, Instant::now()) {
                return (POLL_EVERY, self);
            }
            sleep(PAUSE).await;
        }
    }

    /// Returns true if a subscriber is behind and catching up.
    fn must_wait(&mut self, backlogs: &[Backlog], now: Instant) -> bool {
        let is_behind = |backlog: &&Backlog| backlog.bytes > BEHIND;
        let before = std::mem::take(&mut self.behind);
        for backlog in backlogs.iter().filter(is_behind) {
            let known = before.get(&backlog.subscriber).copied();
            let known = known.filter(|known| known.bytes <= backlog.bytes);
            let new = Behind {
                bytes: backlog.bytes,
                since: now,
            };
            self.behind.insert(backlog.subscriber, known.unwrap_or(new));
        }
        self.behind
            .values()
            .any(|behind| now.duration_since(behind.since) < STALL_TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(client: u64, mebibytes: usize) -> Backlog {
        Backlog {
            subscriber: Subscriber { server: 0, client },
            bytes: mebibytes << 20,
        }
    }

    #[test]
    fn a_sender_does_not_wait_for_subscribers_that_keep_up() {
        let mut pacer = Pacer::default();
        assert!(!pacer.must_wait(&[], Instant::now()));
        assert!(!pacer.must_wait(&[backlog(1, 0), backlog(2, 2)], Instant::now()));
    }

    #[test]
    fn a_sender_waits_for_a_subscriber_that_catches_up() {
        let (mut pacer, start) = (Pacer::default(), Instant::now());
        for second in 0..10 {
            let now = start + Duration::from_secs(second as u64);
            assert!(pacer.must_wait(&[backlog(1, 20 - second)], now), "{second}");
        }
        assert!(!pacer.must_wait(&[backlog(1, 1)], start + Duration::from_secs(11)));
    }

    #[test]
    fn a_frozen_subscriber_is_awaited_once_and_does_not_hide_a_slow_one() {
        let (mut pacer, start) = (Pacer::default(), Instant::now());
        let later = |ms| start + Duration::from_millis(ms);
        assert!(pacer.must_wait(&[backlog(1, 20)], later(0)));
        assert!(pacer.must_wait(&[backlog(1, 20)], later(2_999)));
        assert!(!pacer.must_wait(&[backlog(1, 20)], later(3_000)));
        assert!(!pacer.must_wait(&[backlog(1, 24)], later(3_500)));
        assert!(pacer.must_wait(&[backlog(1, 24), backlog(2, 5)], later(3_600)));
        assert!(!pacer.must_wait(&[backlog(1, 24), backlog(2, 1)], later(3_700)));
    }
}
