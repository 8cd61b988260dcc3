//! When a bus that nobody listens on looks at what it hears: from time to time, because to be woken
//! for every frame costs more than all else that a bus which only sends has to do.

use std::time::{Duration, Instant};

/// The pause between two looks, after one that brought something …
const SHORT: Duration = Duration::from_millis(10);

/// … and the longest, after many that brought nothing.
const LONG: Duration = Duration::from_millis(160);

/// More than this between two looks is so much that looking does not save anything, and what waits
/// outside could become much.
const MUCH: usize = 64 << 10;

/// How long it then keeps looking.
const ATTENTION: Duration = Duration::from_millis(100);

/// Decides whether to look all the time or from time to time.
#[derive(Debug)]
pub(crate) struct PollSchedule {
    pause: Duration,
    next: Instant,
    attentive_until: Option<Instant>,
    /// Heard since the last look.
    bytes: usize,
}

impl PollSchedule {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            pause: SHORT,
            next: now + SHORT,
            attentive_until: None,
            bytes: 0,
        }
    }

    /// So much was heard.
    pub(crate) fn received(&mut self, bytes: usize, now: Instant) {
        self.bytes += bytes;
        if self.bytes > MUCH {
            self.attentive_until = Some(now + ATTENTION);
        }
    }

    /// When to look next; `None` to look all the time.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Instant> {
        if self.attentive_until.is_some_and(|until| now < until) {
            return None;
        }
        self.attentive_until = None;
        if now >= self.next {
            self.pause = if self.bytes > 0 {
                SHORT
            } else {
                LONG.min(self.pause * 2)
            };
            self.bytes = 0;
            self.next = now + self.pause;
        }
        Some(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_comes_the_less_often_it_looks() {
        let mut now = Instant::now();
        let mut poll_schedule = PollSchedule::new(now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let next = poll_schedule.next(now).unwrap();
            pauses.push((next - now).as_millis());
            now = next;
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 160]);
        poll_schedule.received(100, now);
        assert_eq!(poll_schedule.next(now), Some(now + SHORT));
    }

    #[test]
    fn where_much_comes_it_keeps_looking_for_a_while() {
        let now = Instant::now();
        let mut poll_schedule = PollSchedule::new(now);
        poll_schedule.received(MUCH + 1, now);
        assert_eq!(poll_schedule.next(now + ATTENTION / 2), None);
        assert!(poll_schedule.next(now + ATTENTION).is_some());
    }
}
