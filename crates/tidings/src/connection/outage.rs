//! Rate limit of the warnings during an outage: at the first failed attempt to connect, and then
//! every 30 s.

use std::time::Duration;

use tokio::time::Instant;

const EVERY: Duration = Duration::from_secs(30);

/// An outage, or a start that waits for Redis.
#[derive(Debug)]
pub(crate) struct Outage {
    since: Instant,
    /// The time from which the next failed attempt is logged as a warning.
    next: Instant,
}

impl Outage {
    pub(crate) fn since(now: Instant) -> Self {
        Self {
            since: now,
            next: now,
        }
    }

    /// Returns the duration of the outage if an attempt that failed now is to be logged as a warning.
    pub(crate) fn warning(&mut self, now: Instant) -> Option<Duration> {
        if now < self.next {
            return None;
        }
        self.next = now + EVERY;
        Some(now - self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_a_warning_and_then_one_every_30_s() {
        let start = Instant::now();
        let mut outage = Outage::since(start);
        let attempts = (1..=1_000).map(|tenths| Duration::from_millis(100) * tenths);
        let warnings: Vec<_> = attempts
            .filter_map(|after| outage.warning(start + after))
            .map(|lasts| lasts.as_millis())
            .collect();
        assert_eq!(warnings, [100, 30_100, 60_100, 90_100]);
    }
}
