//! The events that a subscriber received: their latency, and those lost, duplicated or out of order.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// The longest latency that is measured, in nanoseconds; longer ones count as this.
const LONGEST: u64 = 600_000_000_000;

/// The maximum number of ranges of missing numbers that are remembered. A late event of a range that is
/// forgotten counts as a duplicate.
const RANGES: usize = 65_536;

pub(super) struct Tally {
    /// Events that arrived, each counted once.
    pub(super) received: u64,
    /// Deliveries of an event that had arrived before.
    pub(super) twice: u64,
    /// Events that arrived after one with a higher number.
    pub(super) out_of_order: u64,
    /// Latencies in nanoseconds.
    pub(super) latencies: Histogram<u64>,
    /// The number of the next event.
    next: u64,
    /// Numbers that were skipped, as the first of a range and the one after its last.
    missing: BTreeMap<u64, u64>,
}

impl Tally {
    pub(super) fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LONGEST, 3);
        Self {
            received: 0,
            twice: 0,
            out_of_order: 0,
            latencies: latencies.expect("these bounds are valid"),
            next: 0,
            missing: BTreeMap::new(),
        }
    }

    /// Counts an event that took this many nanoseconds.
    pub(super) fn count(&mut self, number: u64, latency: u64) {
        if number >= self.next {
            if number > self.next && self.missing.len() < RANGES {
                self.missing.insert(self.next, number);
            }
            self.next = number + 1;
        } else if self.fill(number) {
            self.out_of_order += 1;
        } else {
            self.twice += 1;
            return;
        }
        self.received += 1;
        self.latencies.saturating_record(latency);
    }

    /// Removes a number from those that are missing, and returns whether it was one.
    fn fill(&mut self, number: u64) -> bool {
        let Some((&first, &end)) = self.missing.range(..=number).next_back() else {
            return false;
        };
        if number >= end {
            return false;
        }
        self.missing.remove(&first);
        if first < number {
            self.missing.insert(first, number);
        }
        if number + 1 < end {
            self.missing.insert(number + 1, end);
        }
        true
    }

    /// Adds what another subscriber received.
    pub(super) fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.twice += other.twice;
        self.out_of_order += other.out_of_order;
        self.latencies
            .add(&other.latencies)
            .expect("both have the same bounds");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(numbers: &[u64]) -> (u64, u64, u64) {
        let mut tally = Tally::new();
        for number in numbers {
            tally.count(*number, 1_000);
        }
        assert_eq!(tally.latencies.len(), tally.received);
        (tally.received, tally.twice, tally.out_of_order)
    }

    #[test]
    fn each_event_counts_once_and_as_what_it_is() {
        assert_eq!(counted(&[0, 1, 2]), (3, 0, 0));
        assert_eq!(counted(&[0, 5, 6]), (3, 0, 0));
        assert_eq!(counted(&[0, 1, 1, 2, 0]), (3, 2, 0));
        assert_eq!(counted(&[1, 0, 3, 2]), (4, 0, 2));
        assert_eq!(counted(&[9, 4, 4, 0, 8, 5, 9]), (5, 2, 4));
    }

    #[test]
    fn several_subscribers_are_added() {
        let (mut one, mut other) = (Tally::new(), Tally::new());
        one.count(0, 1_000);
        other.count(0, 3_000);
        other.count(0, 3_000);
        one.add(&other);
        assert_eq!((one.received, one.twice, one.latencies.len()), (2, 1, 2));
    }
}
