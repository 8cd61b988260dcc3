//! Events per second of each name.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The maximum number of names that are counted one by one: foreign programs choose names.
const NAMES: usize = 10_000;

/// The name under which the others are counted.
const OTHERS: &str = "(others)";

/// The numbers of events since they were last taken.
#[derive(Debug)]
pub(crate) struct Rates {
    since: Instant,
    names: HashMap<String, u64>,
}

impl Rates {
    pub(crate) fn start() -> Self {
        Self {
            since: Instant::now(),
            names: HashMap::new(),
        }
    }

    pub(crate) fn count(&mut self, name: &str) {
        if let Some(count) = self.names.get_mut(name) {
            *count += 1;
            return;
        }
        let name = if self.names.len() < NAMES {
            name
        } else {
            OTHERS
        };
        *self.names.entry(name.to_owned()).or_default() += 1;
    }

    /// Returns the events per second since the last call, the highest first. The time between two
    /// calls may be longer than a second: a reader, a member or the machine may have been slow.
    pub(crate) fn take_per_second(&mut self) -> Vec<(String, u64)> {
        let now = Instant::now();
        let elapsed = now - self.since;
        self.since = now;
        self.take(elapsed)
    }

    fn take(&mut self, elapsed: Duration) -> Vec<(String, u64)> {
        let rates = self.names.drain();
        let rates = rates.map(|(name, count)| (name, per_second(count, elapsed)));
        let mut rates: Vec<_> = rates.collect();
        rates.sort_by(|one, other| (other.1, &one.0).cmp(&(one.1, &other.0)));
        rates
    }
}

/// Rounds to the nearest number, as a second is never exactly one, but to none only if there was none.
fn per_second(count: u64, elapsed: Duration) -> u64 {
    let milliseconds = elapsed.as_millis().max(1);
    let rate = (u128::from(count) * 1000 + milliseconds / 2) / milliseconds;
    u64::try_from(rate).unwrap_or(u64::MAX).max(count.min(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_most_frequent_name_comes_first_and_the_number_of_names_is_bounded() {
        let mut rates = Rates::start();
        for name in ["b", "a", "c", "c"] {
            rates.count(name);
        }
        let of = |name: &str, count| (name.to_owned(), count);
        assert_eq!(rates.take(SECOND), [of("c", 2), of("a", 1), of("b", 1)]);
        (0..NAMES + 7).for_each(|number| rates.count(&number.to_string()));
        let taken = rates.take(SECOND);
        assert_eq!(taken.len(), NAMES + 1);
        assert_eq!(taken[0], of(OTHERS, 7));
        assert!(rates.take(SECOND).is_empty());
    }

    #[test]
    fn a_rate_is_that_of_the_time_that_really_passed() {
        for (count, milliseconds, rate) in [
            (2, 1_000, 2),
            (2, 1_002, 2),
            (600, 60_000, 10),
            (1_999, 20_000, 100),
            (1, 20_000, 1),
            (0, 0, 0),
            (u64::MAX, 0, u64::MAX),
        ] {
            let elapsed = Duration::from_millis(milliseconds);
            assert_eq!(per_second(count, elapsed), rate, "{count} in {elapsed:?}");
        }
    }
}
