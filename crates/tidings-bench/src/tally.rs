//! Counts the events of one handler: received, duplicate, out of order.

use crate::work::Work;

/// The counts of one handler; cheap enough not to disturb the measurement.
#[derive(Debug)]
pub(crate) struct Tally {
    wanted: u64,
    names: u64,
    /// The next number of each lane: each sender is in order by itself.
    next: Vec<u64>,
    /// One bit for each wanted event that was received.
    seen: Vec<u64>,
    pub(crate) received: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
    pub(crate) last_ns: u64,
    /// Latencies in units of 10 ns, which fit into 32 bits up to 42 s.
    latencies: Vec<u32>,
}

impl Tally {
    pub(crate) fn new(work: &Work) -> Self {
        let wanted = work.wanted();
        Self {
            wanted,
            names: work.names,
            next: (0..work.lanes()).collect(),
            seen: vec![0; index(wanted.div_ceil(64))],
            received: 0,
            duplicates: 0,
            out_of_order: 0,
            last_ns: 0,
            latencies: Vec::new(),
        }
    }

    /// Counts one event by its number.
    pub(crate) fn count(&mut self, number: u64) {
        let place = number / self.names;
        if place >= self.wanted {
            return;
        }
        let (word, bit) = (&mut self.seen[index(place / 64)], 1 << (place % 64));
        if *word & bit != 0 {
            self.duplicates += 1;
            return;
        }
        *word |= bit;
        self.received += 1;

        let lanes = self.next.len() as u64;
        let next = &mut self.next[index(number % lanes)];
        if number < *next {
            self.out_of_order += 1;
        } else {
            *next = number + lanes;
        }
    }

    pub(crate) fn add_latency(&mut self, nanoseconds: u64) {
        self.latencies
            .push(u32::try_from(nanoseconds / 10).unwrap_or(u32::MAX));
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.received >= self.wanted
    }

    /// Returns these percentiles of the latencies, in microseconds, without the first twentieth,
    /// which is the warm-up.
    pub(crate) fn percentiles<const COUNT: usize>(&self, percents: [usize; COUNT]) -> [f64; COUNT] {
        let mut latencies = self.latencies[self.latencies.len() / 20..].to_vec();
        latencies.sort_unstable();
        percents.map(|percent| percentile(&latencies, percent))
    }
}

fn percentile(sorted: &[u32], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted
        .get(place)
        .map_or(0.0, |latency| f64::from(*latency) / 100.0)
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("a run has fewer events than memory has bytes")
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these figures are exact")]
mod tests {
    use super::*;
    use crate::work::Load;

    fn tally(work: Work, numbers: &[u64]) -> (u64, u64, u64) {
        let mut tally = Tally::new(&work);
        for number in numbers {
            tally.count(*number);
        }
        assert_eq!(tally.is_complete(), tally.received == work.wanted());
        (tally.received, tally.duplicates, tally.out_of_order)
    }

    fn work(events: u64) -> Work {
        Work {
            events,
            ..Work::default()
        }
    }

    #[test]
    fn events_in_order_are_received() {
        assert_eq!(tally(work(4), &[0, 1, 2, 3]), (4, 0, 0));
    }

    #[test]
    fn a_lost_event_makes_no_other_out_of_order() {
        assert_eq!(tally(work(4), &[0, 2, 3]), (3, 0, 0));
    }

    #[test]
    fn an_event_received_again_is_a_duplicate() {
        assert_eq!(tally(work(3), &[0, 1, 1, 0, 2]), (3, 2, 0));
    }

    #[test]
    fn a_late_event_is_out_of_order_and_not_lost() {
        assert_eq!(tally(work(4), &[0, 3, 1, 2]), (4, 0, 2));
    }

    #[test]
    fn a_late_event_received_again_is_out_of_order_once_and_a_duplicate_once() {
        assert_eq!(tally(work(3), &[1, 0, 0, 2]), (3, 1, 1));
    }

    #[test]
    fn events_of_different_lanes_may_overtake_each_other() {
        let two_senders = Work {
            senders: 2,
            ..work(6)
        };
        assert_eq!(tally(two_senders, &[1, 3, 5, 0, 2, 4]), (6, 0, 0));
        assert_eq!(tally(two_senders, &[3, 1, 5, 0, 2, 4]), (6, 0, 1));
        let tasks = Work {
            load: Load::Tasks,
            ..work(300)
        };
        assert_eq!(tally(tasks, &[200, 0, 256, 299]).2, 0);
        assert_eq!(tally(tasks, &[256, 0]).2, 1);
    }

    #[test]
    fn numbers_of_unwanted_names_are_not_missing() {
        let work = Work {
            names: 16,
            ..work(40)
        };
        assert_eq!(tally(work, &[0, 16, 32]), (3, 0, 0));
        assert_eq!(tally(work, &[0, 32, 16, 16]), (3, 1, 1));
    }

    #[test]
    fn an_event_of_another_run_is_not_counted() {
        assert_eq!(tally(work(2), &[0, 9, 1]), (2, 0, 0));
    }

    #[test]
    fn percentiles_leave_out_the_first_twentieth() {
        let mut tally = Tally::new(&work(1));
        (1..=20).for_each(|_| tally.add_latency(9_000_000));
        // The first twentieth is exactly the slow ones.
        (1..=380).for_each(|us| tally.add_latency(us * 1_000));
        assert_eq!(
            tally.percentiles([50, 90, 99, 100]),
            [190.0, 342.0, 377.0, 380.0]
        );
        assert_eq!(Tally::new(&work(1)).percentiles([50]), [0.0]);
    }
}
