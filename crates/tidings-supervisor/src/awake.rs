//! Time without the pauses of this process. A process that is stopped, frozen with its container or
//! starved of the processor cannot act on deadlines, so its pauses must not count.

use std::time::{Duration, Instant};

use tokio::time::{Instant as TokioInstant, sleep};

/// The interval at which the clock is read while a deadline is awaited.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

/// The lateness of a reading above which there was a pause.
pub(crate) const SLACK: Duration = Duration::from_millis(50);

/// A clock that leaves out the pauses of this process. Each pause counts as one [`INTERVAL`], so that
/// the time advances even if one pause follows another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    read_at: Instant,
    /// The time without pauses.
    now: Instant,
}

impl Clock {
    pub(crate) fn start(now: Instant) -> Self {
        Self { read_at: now, now }
    }

    /// Reads the clock, and returns the length of the pause that has just ended, or zero. A reading is
    /// never late if none was awaited, because there was no deadline.
    pub(crate) fn read(&mut self, now: Instant, was_awaited: bool) -> Duration {
        let step = now.duration_since(self.read_at);
        let late = step.saturating_sub(INTERVAL);
        self.read_at += step;
        if was_awaited && late > SLACK {
            self.now += INTERVAL;
            return late;
        }
        self.now += step;
        Duration::ZERO
    }

    /// Returns the time of the last reading, without pauses.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Returns the time of the last reading by the system's clock.
    pub(crate) fn real_now(&self) -> Instant {
        self.read_at
    }

    /// Returns when to read the clock next while a deadline is awaited.
    pub(crate) fn next_reading(&self) -> Instant {
        self.read_at + INTERVAL
    }

    /// Converts a time of this clock to the system's clock, if there is no further pause.
    pub(crate) fn real(&self, time: Instant) -> Instant {
        time + (self.read_at - self.now)
    }
}

/// Waits for this time without counting pauses.
pub(crate) async fn sleep_awake(time: Duration) {
    let mut clock = Clock::start(TokioInstant::now().into_std());
    let begun = clock.now();
    loop {
        let rest = time.saturating_sub(clock.now().duration_since(begun));
        if rest.is_zero() {
            return;
        }
        sleep(rest.min(INTERVAL)).await;
        clock.read(TokioInstant::now().into_std(), true);
    }
}

/// Waits for the future, at most for this time without counting pauses.
pub(crate) async fn timeout_awake<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = sleep_awake(time) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_timely_reading_is_no_pause() {
        let begun = Instant::now();
        let mut clock = Clock::start(begun);
        for reading in 1..=100 {
            assert_eq!(clock.read(begun + reading * 140 * MS, true), Duration::ZERO);
        }
        assert_eq!(clock.now(), begun + 14 * SECOND);
    }

    #[test]
    fn a_late_reading_is_a_pause_that_does_not_count() {
        let begun = Instant::now();
        let mut clock = Clock::start(begun);
        assert_eq!(clock.read(begun + 4 * SECOND, true), 39 * INTERVAL);
        assert_eq!(clock.now(), begun + INTERVAL);
        assert_eq!(clock.real(begun + SECOND), begun + SECOND + 39 * INTERVAL);
    }

    #[test]
    fn time_advances_with_each_pause() {
        let begun = Instant::now();
        let mut clock = Clock::start(begun);
        for pause in 1..=100 {
            clock.read(begun + pause * SECOND, true);
        }
        assert_eq!(clock.now(), begun + 100 * INTERVAL);
    }

    #[test]
    fn without_a_deadline_no_reading_is_late() {
        let begun = Instant::now();
        let mut clock = Clock::start(begun);
        assert_eq!(clock.read(begun + 60 * SECOND, false), Duration::ZERO);
        assert_eq!(clock.now(), begun + 60 * SECOND);
    }

    #[test]
    fn the_clock_stands_still_when_the_system_clock_goes_back() {
        let begun = Instant::now();
        let mut clock = Clock::start(begun + SECOND);
        assert_eq!(clock.read(begun, true), Duration::ZERO);
        assert_eq!(clock.now(), begun + SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_does_not_shorten_a_wait() {
        let begun = TokioInstant::now();
        let waiting = tokio::spawn(sleep_awake(SECOND));
        sleep(MS).await;
        tokio::time::advance(10 * SECOND).await;
        waiting.await.unwrap();
        let waited = begun.elapsed();
        assert!(waited >= 10 * SECOND + 900 * MS, "{waited:?}");
        assert!(waited <= 11 * SECOND + 10 * MS, "{waited:?}");
    }
}
