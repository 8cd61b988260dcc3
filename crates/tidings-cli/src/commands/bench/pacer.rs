//! The schedule of the events. A thread of its own keeps it, because the timers of the runtime have a
//! resolution of one millisecond, and because a sender that is late must not move it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::sample::nanoseconds;

/// The shortest time between two steps.
const STEP: Duration = Duration::from_micros(100);

/// A step that is later than this counts from the time at which it was due.
const LATE: u64 = 1_000_000;

const SECOND: u128 = 1_000_000_000;

/// Events that are due.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) numbers: Range<u64>,
    /// Nanoseconds since the epoch.
    pub(super) time: u64,
}

/// Starts a schedule that begins at the epoch, and ends after this time or when `is_stopped` is set.
pub(super) fn steps(
    rate: u64,
    time: Duration,
    epoch: Instant,
    is_stopped: &Arc<AtomicBool>,
) -> mpsc::UnboundedReceiver<Step> {
    let (sender, steps) = mpsc::unbounded_channel();
    let is_stopped = Arc::clone(is_stopped);
    spawn(move || {
        let mut first = 0;
        let total = events_within(rate, time);
        while first < total && !is_stopped.load(Ordering::Relaxed) {
            let now = epoch.elapsed();
            let end = events_within(rate, now).min(total);
            if end > first {
                let step = Step {
                    numbers: first..end,
                    time: start(rate, first, nanoseconds(now)),
                };
                if sender.send(step).is_err() {
                    return;
                }
                first = end;
            }
            let next = Duration::from_nanos(due(rate, first));
            sleep(next.saturating_sub(epoch.elapsed()).max(STEP));
        }
    });
    steps
}

/// Returns the time from which the latency of a step counts.
fn start(rate: u64, first: u64, now: u64) -> u64 {
    let due = due(rate, first);
    if now.saturating_sub(due) > LATE {
        due
    } else {
        now
    }
}

/// Returns the time at which an event is due, in nanoseconds since the epoch.
fn due(rate: u64, number: u64) -> u64 {
    let time = u128::from(number) * SECOND / u128::from(rate);
    u64::try_from(time).unwrap_or(u64::MAX)
}

/// Returns the number of events that are due after this time.
fn events_within(rate: u64, time: Duration) -> u64 {
    let events = (time.as_nanos() * u128::from(rate)).div_ceil(SECOND);
    u64::try_from(events).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_of_a_second_are_spread_over_it() {
        assert_eq!(events_within(3, Duration::from_secs(2)), 6);
        assert_eq!(events_within(10, Duration::from_millis(100)), 1);
        assert_eq!(events_within(10, Duration::from_millis(101)), 2);
        for number in 0..100 {
            let due = Duration::from_nanos(due(7, number));
            assert_eq!(events_within(7, due), number, "{number}");
            assert_eq!(events_within(7, due + Duration::from_nanos(1)), number + 1);
        }
    }

    #[test]
    fn a_step_that_is_very_late_counts_from_when_it_was_due() {
        assert_eq!(start(1_000, 5, 5_100_000), 5_100_000);
        assert_eq!(start(1_000, 5, 9_000_000), 5_000_000);
    }

    #[test]
    fn all_events_are_given_once_and_in_order() {
        let mut steps = steps(
            50_000,
            Duration::from_millis(50),
            Instant::now(),
            &Arc::default(),
        );
        let mut next = 0;
        while let Some(step) = steps.blocking_recv() {
            assert_eq!(step.numbers.start, next);
            next = step.numbers.end;
        }
        assert_eq!(next, 2_500);
    }
}
