//! The delay before a slot starts another worker.

use std::time::Duration;

/// The exponential backoff of a slot: the delay after a death doubles with each further one, up to a
/// maximum. Jitter shortens it by up to half.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidings_supervisor::Backoff;
///
/// let backoff = Backoff::default()
///     .min_delay(Duration::from_millis(50))
///     .max_delay(Duration::from_secs(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    min_delay: Duration,
    max_delay: Duration,
    reset_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            min_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(30),
            reset_after: Duration::from_mins(1),
        }
    }
}

impl Backoff {
    /// Sets the delay after the first death; 100 ms by default.
    #[must_use]
    pub fn min_delay(mut self, min_delay: Duration) -> Self {
        self.min_delay = min_delay;
        self
    }

    /// Sets the longest delay; 30 s by default.
    #[must_use]
    pub fn max_delay(mut self, max_delay: Duration) -> Self {
        self.max_delay = max_delay;
        self
    }

    /// Sets the time for which a worker must be ready until its slot starts again with the shortest
    /// delay; 60 s by default.
    #[must_use]
    pub fn reset_after(mut self, reset_after: Duration) -> Self {
        self.reset_after = reset_after;
        self
    }

    /// Returns the delay after this many deaths in a row, with a random number between 0 and 1 for the
    /// jitter.
    pub(crate) fn delay(&self, failures: u32, random: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(failures);
        let delay = self.min_delay.saturating_mul(doubled).min(self.max_delay);
        delay.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    pub(crate) fn bounded(mut self, max: Duration) -> Self {
        self.max_delay = self.max_delay.min(max);
        self
    }

    pub(crate) fn is_reset_after(&self, ready_for: Duration) -> bool {
        ready_for >= self.reset_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_delay_doubles_up_to_the_maximum() {
        let backoff = Backoff::default().min_delay(100 * MS).max_delay(450 * MS);
        let delays = (0..5).map(|failures| backoff.delay(failures, 1.0));
        assert!(delays.eq([100, 200, 400, 450, 450].map(|ms| ms * MS)));
        assert_eq!(backoff.delay(u32::MAX, 1.0), 450 * MS);
    }

    #[test]
    fn jitter_shortens_a_delay_by_up_to_half() {
        let backoff = Backoff::default().min_delay(100 * MS);
        assert_eq!(backoff.delay(0, 0.0), 50 * MS);
        assert_eq!(backoff.delay(1, 0.5), 150 * MS);
    }
}
