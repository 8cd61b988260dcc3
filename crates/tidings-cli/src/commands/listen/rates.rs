//! Events per second of each name.

use std::collections::HashMap;

/// The maximum number of names that are counted one by one: foreign programs choose names.
const NAMES: usize = 10_000;

/// The name under which the others are counted.
const OTHERS: &str = "(others)";

#[derive(Debug, Default)]
pub(crate) struct Rates {
    names: HashMap<String, u64>,
}

impl Rates {
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

    /// Returns the numbers since the last call, the highest first.
    pub(crate) fn take(&mut self) -> Vec<(String, u64)> {
        let mut rates: Vec<_> = self.names.drain().collect();
        rates.sort_by(|one, other| (other.1, &one.0).cmp(&(one.1, &other.0)));
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_name_comes_first_and_the_number_of_names_is_bounded() {
        let mut rates = Rates::default();
        for name in ["b", "a", "c", "c"] {
            rates.count(name);
        }
        let of = |name: &str, count| (name.to_owned(), count);
        assert_eq!(rates.take(), [of("c", 2), of("a", 1), of("b", 1)]);
        (0..NAMES + 7).for_each(|number| rates.count(&number.to_string()));
        let taken = rates.take();
        assert_eq!(taken.len(), NAMES + 1);
        assert_eq!(taken[0], of(OTHERS, 7));
        assert!(rates.take().is_empty());
    }
}
