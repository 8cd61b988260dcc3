//! Marks along what was read of a journal, to trim it by bytes. No I/O.

use std::collections::VecDeque;

use crate::event::position::JournalPosition;

/// The number of marks in the maximum size of a journal.
const MARKS: usize = 64;

/// Positions with the bytes that were read up to the next one.
#[derive(Debug)]
pub(crate) struct Marks {
    /// The oldest first.
    marks: VecDeque<Mark>,
    /// The bytes between two marks.
    every: u64,
}

/// The first of some entries, and their size.
#[derive(Clone, Copy, Debug)]
struct Mark {
    id: JournalPosition,
    bytes: u64,
}

impl Marks {
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self {
            marks: VecDeque::new(),
            every: max_bytes / MARKS as u64,
        }
    }

    /// Takes in an entry of this size that was read.
    pub(crate) fn read(&mut self, id: JournalPosition, bytes: usize) {
        let bytes = bytes as u64;
        match self.marks.back_mut() {
            // Redis has lost entries: the marks are those of another journal.
            Some(last) if last.id > id => self.marks.clear(),
            Some(last) if last.bytes < self.every => {
                last.bytes += bytes;
                return;
            }
            _ => {}
        }
        self.marks.push_back(Mark { id, bytes });
        if self.marks.len() > MARKS + MARKS / 2 {
            self.marks.pop_front();
        }
    }

    /// Returns the first position to keep of a journal that begins at `oldest` and uses `used` bytes,
    /// so that it uses about `kept`; `None` if too little was read to tell.
    pub(crate) fn first_to_keep(
        &mut self,
        oldest: JournalPosition,
        used: u64,
        kept: u64,
    ) -> Option<JournalPosition> {
        let is_whole = self.marks.front().is_some_and(|mark| mark.id <= oldest);
        while self.marks.get(1).is_some_and(|mark| mark.id <= oldest) {
            self.marks.pop_front();
        }
        let read: u64 = self.marks.iter().map(|mark| mark.bytes).sum();
        // An entry uses more memory than its frame, at least once as much.
        let kept = if is_whole && used > read {
            let part = u128::from(kept) * u128::from(read) / u128::from(used);
            u64::try_from(part).unwrap_or(kept)
        } else {
            kept
        };
        if read <= kept {
            return None;
        }
        let mut rest = read;
        let mut marks = self.marks.iter();
        let first = marks.find(|mark| {
            let fits = rest <= kept;
            rest -= mark.bytes;
            fits
        });
        // The last mark alone may be larger.
        first.or(self.marks.back()).map(|mark| mark.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 6_400;

    /// Marks after entries of 100 bytes with the positions from 1 on.
    fn read(entries: u64) -> Marks {
        let mut marks = Marks::new(MAX);
        (1..=entries).for_each(|ms| marks.read(JournalPosition::at(ms), 100));
        marks
    }

    fn kept(marks: &mut Marks, oldest: u64, used: u64) -> Option<u64> {
        let first = marks.first_to_keep(JournalPosition::at(oldest), used, MAX);
        first.map(|id| id.ms)
    }

    #[test]
    fn the_last_entries_that_use_the_wanted_bytes_are_kept() {
        // As much memory as bytes, and twice as much.
        assert_eq!(kept(&mut read(80), 1, 8_000), Some(17));
        assert_eq!(kept(&mut read(80), 1, 16_000), Some(49));
    }

    #[test]
    fn a_part_of_the_journal_that_was_not_read_is_removed_first() {
        assert_eq!(kept(&mut read(80), 0, 90_000), Some(17));
        assert_eq!(kept(&mut read(60), 0, 90_000), None);
    }

    #[test]
    fn marks_are_bounded_and_forgotten_with_their_journal() {
        let mut marks = read(10_000);
        assert_eq!(marks.marks.len(), MARKS + MARKS / 2);
        assert_eq!(kept(&mut marks, 0, 1_000_000), Some(9_937));
        marks.read(JournalPosition::at(5), 100);
        assert_eq!(marks.marks.len(), 1);
    }
}
