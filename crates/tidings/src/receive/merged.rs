//! Reports that may come in any number: the first is made at once, and those that follow soon are
//! one report together. No I/O, no clock of its own.

use std::time::{Duration, Instant};

/// What is to be reported of one kind.
#[derive(Debug)]
pub(crate) struct Merged {
    /// At most one report is made in this time.
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

    /// How many are to be reported now, if any.
    pub(crate) fn take(&mut self, now: Instant) -> Option<u64> {
        if self.due(now)? > now {
            return None;
        }
        self.quiet_until = Some(now + self.every);
        Some(std::mem::take(&mut self.count))
    }

    /// When the next report is to be made, if there is something to be reported.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        (self.count > 0).then(|| self.quiet_until.unwrap_or(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_is_reported_at_once_and_the_next_ones_together() {
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
