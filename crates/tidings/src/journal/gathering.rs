//! The pause before the next page of a busy journal, in which more entries come together. No I/O.

use std::time::Duration;

use tokio::time::Instant;

/// The pause: the resolution of the runtime's clock.
const PAUSE: Duration = Duration::from_millis(1);

/// The number of small pages in a row whose rate decides.
const PAGES: u32 = 16;

/// The time of these pages, at most, in a busy journal: 6,400 pages a second. A pause then delays an
/// entry by more time than between two of them, and saves reading most of them alone.
const BUSY: Duration = Duration::from_micros(2_500);

/// The number of entries after a pause below which the journal is not busy any more.
const FEW: usize = 4;

/// The bytes of a page that is not small.
const SMALL: usize = 64 << 10;

/// Decides whether to pause before the next page.
#[derive(Debug)]
pub(crate) struct Gathering {
    is_busy: bool,
    /// The last page was large, or there are more entries already.
    is_large: bool,
    /// The small pages since `began`.
    pages: u32,
    began: Instant,
}

impl Gathering {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            is_busy: false,
            is_large: false,
            pages: 0,
            began: now,
        }
    }

    /// A page with this many entries and bytes was read; `is_full` if it has all that were asked for.
    pub(crate) fn was_read(&mut self, entries: usize, bytes: usize, is_full: bool, now: Instant) {
        self.is_large = is_full || bytes >= SMALL;
        if self.is_large || self.is_busy {
            self.is_busy &= self.is_large || entries >= FEW;
            (self.pages, self.began) = (0, now);
            return;
        }
        self.pages += 1;
        if self.pages < PAGES {
            return;
        }
        self.is_busy = now.duration_since(self.began) <= BUSY;
        (self.pages, self.began) = (0, now);
    }

    /// Returns the time of the next read; `None` to read at once.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        (self.is_busy && !self.is_large).then(|| now + PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads pages of one entry at this rate, and returns whether a pause follows.
    fn pauses_at(per_second: u32) -> bool {
        let mut now = Instant::now();
        let mut gathering = Gathering::new(now);
        for _ in 0..4 * PAGES {
            now += Duration::from_secs(1) / per_second;
            gathering.was_read(1, 100, false, now);
            if gathering.next(now).is_some() {
                return true;
            }
        }
        false
    }

    #[test]
    fn a_reader_pauses_only_where_entries_come_faster_than_a_pause_can_delay() {
        assert!(!pauses_at(1_000));
        assert!(!pauses_at(5_000));
        assert!(pauses_at(10_000));
    }

    #[test]
    fn pauses_end_when_few_entries_come_together() {
        let now = Instant::now();
        let mut gathering = Gathering::new(now);
        (0..PAGES).for_each(|_| gathering.was_read(1, 100, false, now));
        assert_eq!(gathering.next(now), Some(now + PAUSE));
        gathering.was_read(FEW, 400, false, now);
        assert!(gathering.next(now).is_some());
        gathering.was_read(FEW - 1, 300, false, now);
        assert_eq!(gathering.next(now), None);
    }

    #[test]
    fn no_pause_follows_a_large_or_full_page() {
        let now = Instant::now();
        let mut gathering = Gathering::new(now);
        (0..PAGES).for_each(|_| gathering.was_read(1, 100, false, now));
        gathering.was_read(1, SMALL, false, now);
        assert_eq!(gathering.next(now), None);
        gathering.was_read(1, 100, true, now);
        assert_eq!(gathering.next(now), None);
        gathering.was_read(FEW, 400, false, now);
        assert!(
            gathering.next(now).is_some(),
            "and the journal is busy still"
        );
    }
}
