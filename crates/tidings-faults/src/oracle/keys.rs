//! Checks shared state: counters, updated values, and the copies of each process. Plain functions
//! of plain values.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The steps of 1 that a process made on a shared number.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Steps {
    /// The number after each confirmed step.
    pub(crate) confirmed: Vec<u64>,
    /// Unconfirmed steps, which may have been made.
    pub(crate) in_doubt: u64,
}

/// Values by name.
pub(crate) type Values = BTreeMap<String, Option<u64>>;

/// Returns the violations of a number that ended at `end`: it must contain each confirmed step
/// exactly once, and nothing else but unconfirmed steps.
pub(crate) fn check_steps(all: &[Steps], end: u64) -> Vec<String> {
    let confirmed = || all.iter().flat_map(|steps| &steps.confirmed);
    let count = confirmed().count() as u64;
    let in_doubt: u64 = all.iter().map(|steps| steps.in_doubt).sum();
    let distinct: BTreeSet<_> = confirmed().collect();
    let mut findings = Vec::new();
    if end < count {
        findings.push(format!(
            "{count} steps were confirmed, and the number is {end}"
        ));
    }
    if end > count + in_doubt {
        findings.push(format!(
            "{count} steps were confirmed and {in_doubt} unconfirmed, and the number is {end}"
        ));
    }
    let same = count - distinct.len() as u64;
    if same > 0 {
        findings.push(format!("{same} steps got the number of another step"));
    }
    if let Some(beyond) = distinct.last().filter(|last| ***last > end) {
        findings.push(format!(
            "a step got the number {beyond}, and the number is {end}"
        ));
    }
    findings
}

/// Returns each name whose copy differs from Redis. Names that are missing in the copy were never
/// read.
pub(crate) fn differing(redis: &Values, copy: &Values) -> Vec<String> {
    let differs = |(name, value): &(&String, &Option<u64>)| redis.get(*name) != Some(*value);
    let different = copy.iter().filter(differs);
    different
        .map(|(name, value)| {
            let held = redis.get(name).copied().flatten();
            format!("`{name}`: Redis holds {held:?}, the copy is {value:?}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(confirmed: &[u64], in_doubt: u64) -> Steps {
        Steps {
            confirmed: confirmed.to_vec(),
            in_doubt,
        }
    }

    fn values(values: &[(&str, Option<u64>)]) -> Values {
        let owned = |(name, value): &(&str, Option<u64>)| ((*name).to_owned(), *value);
        values.iter().map(owned).collect()
    }

    #[test]
    fn the_number_is_the_confirmed_steps_and_some_unconfirmed_ones() {
        let all = [steps(&[1, 3], 1), steps(&[2, 5], 1)];
        assert_eq!(check_steps(&all, 5), Vec::<String>::new());
        assert_eq!(check_steps(&all, 6), Vec::<String>::new());
    }

    #[test]
    fn a_lost_step_is_found() {
        assert_eq!(check_steps(&[steps(&[1, 2, 3], 0)], 2).len(), 2);
        // Two processes got the same number: one step was lost, and an unconfirmed step hides it in
        // the sum.
        assert_eq!(
            check_steps(&[steps(&[1, 2], 1), steps(&[2], 0)], 3).len(),
            1
        );
    }

    #[test]
    fn a_step_that_nobody_made_is_found() {
        assert_eq!(check_steps(&[steps(&[1, 2], 1)], 4).len(), 1);
    }

    #[test]
    fn a_copy_that_differs_is_found() {
        let redis = values(&[("a", Some(1)), ("b", None)]);
        assert_eq!(differing(&redis, &redis), Vec::<String>::new());
        let old = values(&[("a", Some(0)), ("b", None)]);
        assert_eq!(differing(&redis, &old).len(), 1);
        let removed = values(&[("a", Some(1)), ("b", Some(7))]);
        assert_eq!(differing(&redis, &removed).len(), 1);
        let unknown = values(&[("c", Some(1))]);
        assert_eq!(differing(&redis, &unknown).len(), 1);
    }
}
