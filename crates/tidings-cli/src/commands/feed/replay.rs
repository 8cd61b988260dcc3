//! The pauses between recorded events.

use std::time::Duration;

use tokio::time::Instant;

use crate::args::Speed;

/// The times at which recorded events are sent again.
#[derive(Debug)]
pub(super) struct Replay {
    speed: Speed,
    /// The recorded time of an event, and the time at which it is sent again.
    last: Option<(u64, Instant)>,
}

impl Replay {
    pub(super) fn new(speed: Speed) -> Self {
        Self { speed, last: None }
    }

    /// Returns the time to send an event that was recorded at `at`, in milliseconds. Without a time, or
    /// with an earlier one than that of the event before, by another clock, it follows at once.
    pub(super) fn due(&mut self, at: Option<u64>, now: Instant) -> Instant {
        let (Some(at), Speed::Times(speed)) = (at, self.speed) else {
            return now;
        };
        let Some((before, sent)) = self.last else {
            self.last = Some((at, now));
            return now;
        };
        if at <= before {
            return now;
        }
        let pause = Duration::from_millis(at - before).div_f64(speed);
        // Counts from the time at which the event before was due, so that delays do not add up.
        let due = sent.checked_add(pause).unwrap_or(now);
        self.last = Some((at, due));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_follow_each_other_as_they_were_recorded() {
        let start = Instant::now();
        let seconds = |number| start + Duration::from_secs(number);
        let mut replay = Replay::new(Speed::Times(2.0));
        assert_eq!(replay.due(Some(10_000), start), start);
        assert_eq!(replay.due(Some(12_000), start), seconds(1));
        // Another clock, or none.
        assert_eq!(replay.due(Some(11_000), seconds(1)), seconds(1));
        assert_eq!(replay.due(None, seconds(1)), seconds(1));
        // It was late, and the pause is shorter.
        assert_eq!(replay.due(Some(16_000), seconds(2)), seconds(3));
        let mut replay = Replay::new(Speed::Max);
        assert_eq!(replay.due(Some(10_000), start), start);
        assert_eq!(replay.due(Some(99_000), start), start);
    }
}
