//! How long a slot waits before its next worker.

use std::time::Duration;

/// How long a slot waits before it starts another worker in the place of one that died: longer with
/// each death, up to a limit, and short again after a quiet time.
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
    /// The wait after a first death; 100 ms by default. It doubles with each further one.
    #[must_use]
    pub fn min_delay(mut self, min_delay: Duration) -> Self {
        self.min_delay = min_delay;
        self
    }

    /// No wait is longer; 30 s by default.
    #[must_use]
    pub fn max_delay(mut self, max_delay: Duration) -> Self {
        self.max_delay = max_delay;
        self
    }

    /// A worker that served for so long makes its slot forget the deaths before; 60 s by default.
    #[must_use]
    pub fn reset_after(mut self, reset_after: Duration) -> Self {
        self.reset_after = reset_after;
        self
    }

    /// `chance` lies between 0 and 1: workers that died together do not come back together. It only
    /// shortens, by up to a half, so that the limit is one.
    pub(crate) fn delay(&self, failures: u32, chance: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(failures);
        let delay = self.min_delay.saturating_mul(doubled).min(self.max_delay);
        delay.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }

    pub(crate) fn bounded(mut self, most: Duration) -> Self {
        self.max_delay = self.max_delay.min(most);
        self
    }

    pub(crate) fn forgets_after(&self, served: Duration) -> bool {
        served >= self.reset_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_delay_doubles_and_never_passes_the_longest() {
        let backoff = Backoff::default().min_delay(100 * MS).max_delay(450 * MS);
        let delays = (0..5).map(|failures| backoff.delay(failures, 1.0));
        assert!(delays.eq([100, 200, 400, 450, 450].map(|ms| ms * MS)));
        assert_eq!(backoff.delay(u32::MAX, 1.0), 450 * MS);
    }

    #[test]
    fn chance_shortens_a_delay_by_up_to_a_half() {
        let backoff = Backoff::default().min_delay(100 * MS);
        assert_eq!(backoff.delay(0, 0.0), 50 * MS);
        assert_eq!(backoff.delay(1, 0.5), 150 * MS);
    }
}
