//! A timer for who is interrupted all the time: most of the moments that it is set for never come.

use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep_until};

/// Longer than any process lives, and short enough to be added to a time.
pub(crate) const FOREVER: Duration = Duration::from_hours(24 * 365 * 100);

/// A timer that is set anew only to ring earlier than it would. Setting one for each of many waits,
/// and taking it back, costs more than the waits.
#[derive(Debug)]
pub(crate) struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    pub(crate) fn new(due: Instant) -> Self {
        Self(Box::pin(sleep_until(due.into())))
    }

    /// Waits until then. A wait that is given up leaves the timer as it is.
    pub(crate) async fn at(&mut self, due: Instant) {
        let sleep = &mut self.0;
        if sleep.is_elapsed() || sleep.deadline() > due.into() {
            sleep.as_mut().reset(due.into());
        }
        loop {
            sleep.as_mut().await;
            if Instant::now() >= due {
                return;
            }
            sleep.as_mut().reset(due.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn it_rings_when_it_was_set_for_last() {
        let now = Instant::now();
        let mut alarm = Alarm::new(now + Duration::from_mins(1));
        assert!(
            alarm
                .at(now + Duration::from_millis(2))
                .now_or_never()
                .is_none()
        );
        // Later than it would ring.
        alarm.at(now + Duration::from_millis(20)).await;
        assert!(now.elapsed() >= Duration::from_millis(20));
        // Earlier than it would ring, and again after it rang.
        assert!(
            alarm
                .at(now + Duration::from_mins(1))
                .now_or_never()
                .is_none()
        );
        alarm.at(now + Duration::from_millis(30)).await;
        alarm.at(now + Duration::from_millis(30)).await;
        assert!(now.elapsed() < Duration::from_secs(30));
    }
}
