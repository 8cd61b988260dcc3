//! Polling instead of wake-ups for a bus without subscriptions, to save a wake-up for each received
//! frame.

use std::time::Duration;

use tokio::time::Instant;

/// The pause after a poll that found frames.
const SHORT: Duration = Duration::from_millis(10);

/// The longest pause, after many polls that found nothing.
const LONG: Duration = Duration::from_millis(160);

/// The bytes between two polls above which polling stops, because data would pile up in the socket.
const MUCH: usize = 64 << 10;

/// The time for which the bus is then woken by each frame.
const ATTENTION: Duration = Duration::from_millis(100);

/// Decides between polling and wake-ups.
#[derive(Debug)]
pub(crate) struct PollSchedule {
    pause: Duration,
    next: Instant,
    attentive_until: Option<Instant>,
    /// Received since the last poll.
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

    pub(crate) fn received(&mut self, bytes: usize, now: Instant) {
        self.bytes += bytes;
        if self.bytes > MUCH {
            self.attentive_until = Some(now + ATTENTION);
        }
    }

    /// Returns the time of the next poll; `None` to be woken by each frame.
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
    fn the_pause_grows_while_nothing_is_received() {
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
    fn polling_stops_for_a_while_after_much_was_received() {
        let now = Instant::now();
        let mut poll_schedule = PollSchedule::new(now);
        poll_schedule.received(MUCH + 1, now);
        assert_eq!(poll_schedule.next(now + ATTENTION / 2), None);
        assert!(poll_schedule.next(now + ATTENTION).is_some());
    }
}
