//! Time in which this process ran. A process that is stopped, frozen with its container or starved of
//! the processor cannot act on its deadlines, so that such a pause must not count against anybody.

use std::time::{Duration, Instant};

use tokio::time::{Instant as TokioInstant, sleep};

/// While a deadline is waited for, the clock is read at least this often.
pub(crate) const BEAT: Duration = Duration::from_millis(100);

/// A reading may be late by this much; one that is later ends a pause.
pub(crate) const SLACK: Duration = Duration::from_millis(50);

/// A clock that leaves out the pauses of this process. A pause counts as one [`BEAT`], so that time
/// goes on also where one pause follows another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    read_at: Instant,
    /// Without all pauses.
    now: Instant,
}

impl Clock {
    pub(crate) fn start(now: Instant) -> Self {
        Self { read_at: now, now }
    }

    /// Reads the clock; returns how long the pause was that has just ended, or zero. A reading that
    /// was not awaited, since there was no deadline, is never late.
    pub(crate) fn read(&mut self, now: Instant, was_awaited: bool) -> Duration {
        let step = now.duration_since(self.read_at);
        let late = step.saturating_sub(BEAT);
        self.read_at += step;
        if was_awaited && late > SLACK {
            self.now += BEAT;
            return late;
        }
        self.now += step;
        Duration::ZERO
    }

    /// The time of the last reading, without all pauses.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// When to read the clock next while a deadline is waited for.
    pub(crate) fn next_beat(&self) -> Instant {
        self.read_at + BEAT
    }

    /// A time of this clock as the system's clock has it, if there is no further pause.
    pub(crate) fn real(&self, time: Instant) -> Instant {
        time + (self.read_at - self.now)
    }
}

/// Waits for this time; pauses of this process do not count.
pub(crate) async fn sleep_awake(time: Duration) {
    let mut clock = Clock::start(TokioInstant::now().into_std());
    let begun = clock.now();
    loop {
        let rest = time.saturating_sub(clock.now().duration_since(begun));
        if rest.is_zero() {
            return;
        }
        sleep(rest.min(BEAT)).await;
        clock.read(TokioInstant::now().into_std(), true);
    }
}

/// Waits for the future, but no longer than this time; pauses of this process do not count.
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
    fn a_reading_in_time_ends_no_pause() {
        let begun = Instant::now();
        let mut clock = Clock::start(begun);
        for beat in 1..=100 {
            assert_eq!(clock.read(begun + beat * 140 * MS, true), Duration::ZERO);
        }
        assert_eq!(clock.now(), begun + 14 * SECOND);
    }

    #[test]
    fn a_late_reading_ends_a_pause_that_does_not_count() {
        let begun = Instant::now();
        let mut clock = Clock::start(begun);
        assert_eq!(clock.read(begun + 4 * SECOND, true), 39 * BEAT);
        assert_eq!(clock.now(), begun + BEAT);
        assert_eq!(clock.real(begun + SECOND), begun + SECOND + 39 * BEAT);
    }

    #[test]
    fn time_goes_on_through_any_number_of_pauses() {
        let begun = Instant::now();
        let mut clock = Clock::start(begun);
        for pause in 1..=100 {
            clock.read(begun + pause * SECOND, true);
        }
        assert_eq!(clock.now(), begun + 100 * BEAT);
    }

    #[test]
    fn without_a_deadline_no_reading_is_late() {
        let begun = Instant::now();
        let mut clock = Clock::start(begun);
        assert_eq!(clock.read(begun + 60 * SECOND, false), Duration::ZERO);
        assert_eq!(clock.now(), begun + 60 * SECOND);
    }

    #[test]
    fn a_clock_that_goes_back_stands_still() {
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
        // As if the process stood still.
        tokio::time::advance(10 * SECOND).await;
        waiting.await.unwrap();
        let waited = begun.elapsed();
        assert!(waited >= 10 * SECOND + 900 * MS, "{waited:?}");
        assert!(waited <= 11 * SECOND + 10 * MS, "{waited:?}");
    }
}
