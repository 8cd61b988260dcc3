//! How fast a sender may be for those who hear: it looks at what Redis holds for them, and waits
//! for whoever is behind and catching up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use tokio::time::sleep;

use crate::transport::{Backlog, Publisher};

/// After this many bytes the sender looks how far the hearers are behind …
pub(crate) const LOOK: usize = 4 << 20;

/// … and waits while Redis holds more than this for one of them. It cuts a hearer off at 32 MiB.
const BEHIND: usize = 2 << 20;

/// Who does not catch up for this long is not waited for any more: one process that does not read
/// must not hold up all others. Redis will cut it off, and it will know.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long it waits between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// What is known of the hearers that are behind.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    behind: HashMap<u64, Behind, RandomState>,
}

/// A hearer that is behind: the least that it was behind, and since when.
#[derive(Clone, Copy, Debug)]
struct Behind {
    bytes: usize,
    since: Instant,
}

impl Pacer {
    /// Waits for those who are catching up; then how many bytes may be sent before the next look.
    pub(crate) async fn wait(mut self, publisher: Arc<dyn Publisher>) -> (usize, Self) {
        loop {
            // It cannot be known here, for want of a permission: our own echo must do.
            let Some(backlogs) = publisher.backlogs().await else {
                return (usize::MAX, self);
            };
            if !self.must_wait(&backlogs, Instant::now()) {
                return (LOOK, self);
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether somebody is behind and catching up.
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
            .any(|behind| now.duration_since(behind.since) < PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(subscriber: u64, mebibytes: usize) -> Backlog {
        Backlog {
            subscriber,
            bytes: mebibytes << 20,
        }
    }

    #[test]
    fn nobody_waits_for_hearers_that_keep_up() {
        let mut pacer = Pacer::default();
        assert!(!pacer.must_wait(&[], Instant::now()));
        assert!(!pacer.must_wait(&[backlog(1, 0), backlog(2, 2)], Instant::now()));
    }

    #[test]
    fn a_hearer_that_catches_up_is_waited_for() {
        let (mut pacer, start) = (Pacer::default(), Instant::now());
        for second in 0..10 {
            let now = start + Duration::from_secs(second as u64);
            assert!(pacer.must_wait(&[backlog(1, 20 - second)], now), "{second}");
        }
        assert!(!pacer.must_wait(&[backlog(1, 1)], start + Duration::from_secs(11)));
    }

    #[test]
    fn a_frozen_hearer_is_waited_for_once_and_does_not_hide_a_slow_one() {
        let (mut pacer, start) = (Pacer::default(), Instant::now());
        let later = |ms| start + Duration::from_millis(ms);
        assert!(pacer.must_wait(&[backlog(1, 20)], later(0)));
        assert!(pacer.must_wait(&[backlog(1, 20)], later(999)));
        assert!(!pacer.must_wait(&[backlog(1, 20)], later(1_000)));
        assert!(!pacer.must_wait(&[backlog(1, 24)], later(1_500)));
        assert!(pacer.must_wait(&[backlog(1, 24), backlog(2, 5)], later(1_600)));
        assert!(!pacer.must_wait(&[backlog(1, 24), backlog(2, 1)], later(1_700)));
    }
}
