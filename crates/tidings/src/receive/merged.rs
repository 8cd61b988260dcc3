//! Rate limit of a report: the first is made at once, and those that follow within a time are
//! merged into one. No I/O, no clock of its own.

use std::time::Duration;

use tokio::time::Instant;

/// The pending reports of one kind.
#[derive(Debug)]
pub(crate) struct Merged {
    /// The minimum time between two reports.
    every: Duration,
    count: u64,
    quiet_until: Option<Instant>,
}

impl Merged {
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            count: 0,
            quiet_until: None,
        }
    }

    pub(crate) fn add(&mut self) {
        self.count = self.count.saturating_add(1);
    }

    /// The number to report now, if any.
    pub(crate) fn take(&mut self, now: Instant) -> Option<u64> {
        if self.due(now)? > now {
            return None;
        }
        self.quiet_until = Some(now + self.every);
        Some(std::mem::take(&mut self.count))
    }

    /// The time of the next report, if one is pending.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        (self.count > 0).then(|| self.quiet_until.unwrap_or(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_report_is_made_at_once_and_the_following_are_merged() {
        let (mut merged, now) = (Merged::new(EVERY), Instant::now());
        assert_eq!(merged.due(now), None);
        merged.add();
        assert_eq!(merged.take(now), Some(1));
        (0..1_000).for_each(|_| merged.add());
        assert_eq!(merged.take(now), None);
        assert_eq!(merged.due(now), Some(now + EVERY));
        assert_eq!(merged.take(now + EVERY), Some(1_000));
        assert_eq!(merged.take(now + 3 * EVERY), None);
    }
}
