//! The numbers of the events of a sender.

use std::ops::Range;

/// The errors of Redis that come before it does anything. A proxy has others, which do not tell.
const BEFORE: [&str; 4] = ["MISCONF", "NOREPLICAS", "OOM", "WRONGTYPE"];

/// Assigns the numbers of events. Numbers that were certainly not published are reused, so that
/// subscribers take none for missed.
#[derive(Debug)]
pub(crate) struct Numbering {
    /// The number of the next event.
    next: u64,
    /// All lower numbers may be known to subscribers.
    published: u64,
    /// Numbers that were not published, up to those of a frame that is under way.
    unpublished: Range<u64>,
}

impl Numbering {
    pub(crate) fn new() -> Self {
        Self {
            next: 1,
            published: 1,
            unpublished: 1..1,
        }
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Goes on with a higher number.
    pub(crate) fn advance(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// Lower numbers may be known to subscribers, from a frame or from the position.
    pub(crate) fn may_be_published(&mut self, end: u64) {
        self.published = self.published.max(end);
    }

    /// These numbers were certainly not published. Returns true if they are reused: subscribers
    /// would drop them if they knew a later one.
    pub(crate) fn not_published(&mut self, numbers: Range<u64>) -> bool {
        if numbers.start < self.published {
            return false;
        }
        let end = numbers.end;
        if self.unpublished.end == numbers.start && self.unpublished.start >= self.published {
            self.unpublished.end = end;
        } else {
            self.unpublished = numbers;
        }
        // A later frame is under way.
        let is_last = end == self.next;
        if is_last {
            self.next = self.unpublished.start;
            self.unpublished = self.next..self.next;
        }
        is_last
    }
}

/// Returns true if an error with this text says that Redis has not published anything.
pub(crate) fn is_before_publishing(words: &str) -> bool {
    let code = words.split(' ').next().unwrap_or_default();
    BEFORE.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three frames of ten events, which are under way.
    fn three_frames() -> Numbering {
        let mut numbering = Numbering::new();
        numbering.advance(31);
        numbering
    }

    #[test]
    fn the_numbers_of_refused_frames_are_given_again() {
        let mut numbering = three_frames();
        assert!(!numbering.not_published(1..11));
        assert!(!numbering.not_published(11..21));
        assert!(numbering.not_published(21..31));
        assert_eq!(numbering.next(), 1);
    }

    #[test]
    fn numbers_before_those_of_a_published_frame_are_not_given_again() {
        let mut numbering = three_frames();
        numbering.not_published(1..11);
        numbering.may_be_published(21);
        assert!(numbering.not_published(21..31));
        assert_eq!(numbering.next(), 21);

        let mut numbering = three_frames();
        numbering.not_published(1..11);
        numbering.not_published(11..21);
        numbering.may_be_published(31);
        assert_eq!(numbering.next(), 31);
        assert!(!numbering.not_published(11..21));
    }

    #[test]
    fn numbers_that_the_position_may_have_stated_are_not_given_again() {
        let mut numbering = three_frames();
        numbering.may_be_published(31);
        for first in [1, 11, 21] {
            assert!(!numbering.not_published(first..first + 10));
        }
        assert_eq!(numbering.next(), 31);
    }

    #[test]
    fn a_jump_of_the_numbers_is_not_taken_back() {
        let mut numbering = Numbering::new();
        numbering.advance(11);
        numbering.advance(100);
        numbering.advance(110);
        assert!(!numbering.not_published(1..11));
        assert!(numbering.not_published(100..110));
        assert_eq!(numbering.next(), 100);
    }

    #[test]
    fn an_error_that_a_proxy_may_have_written_does_not_tell() {
        assert!(is_before_publishing(
            "OOM command not allowed when used memory"
        ));
        assert!(!is_before_publishing("ERR upstream failure"));
        assert!(!is_before_publishing(""));
    }
}
