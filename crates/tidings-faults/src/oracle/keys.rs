//! Whether what lies under keys is what the processes were told: counters, updated values, and the
//! copies in each process. Plain functions of plain values.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What a process was told of the steps of 1 that it made on a number that all share.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Steps {
    /// What the number was after each step that was confirmed.
    pub(crate) confirmed: Vec<u64>,
    /// Steps that may have been made.
    pub(crate) in_doubt: u64,
}

/// What lies under names, or a copy of it.
pub(crate) type Values = BTreeMap<String, Option<u64>>;

/// What is wrong with a number that ended at `end`: each confirmed step is in it, once, and nothing
/// else but steps in doubt.
pub(crate) fn check_steps(all: &[Steps], end: u64) -> Vec<String> {
    let confirmed = || all.iter().flat_map(|steps| &steps.confirmed);
    let count = confirmed().count() as u64;
    let in_doubt: u64 = all.iter().map(|steps| steps.in_doubt).sum();
    let distinct: BTreeSet<_> = confirmed().collect();
    let mut findings = Vec::new();
    if end < count {
        findings.push(format!("{count} steps were confirmed, and it is {end}"));
    }
    if end > count + in_doubt {
        findings.push(format!(
            "{count} steps were confirmed and {in_doubt} are in doubt, and it is {end}"
        ));
    }
    let same = count - distinct.len() as u64;
    if same > 0 {
        findings.push(format!("{same} steps ended at a number that another had"));
    }
    if let Some(beyond) = distinct.last().filter(|last| ***last > end) {
        findings.push(format!("a step ended at {beyond}, and it is {end}"));
    }
    findings
}

/// Each name under which a copy is not what Redis holds. A name that the copy does not have was
/// never looked at.
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
    fn confirmed_steps_and_some_in_doubt_are_the_number() {
        let all = [steps(&[1, 3], 1), steps(&[2, 5], 1)];
        assert_eq!(check_steps(&all, 5), Vec::<String>::new());
        assert_eq!(check_steps(&all, 6), Vec::<String>::new());
    }

    #[test]
    fn a_lost_step_is_found() {
        assert_eq!(check_steps(&[steps(&[1, 2, 3], 0)], 2).len(), 2);
        // Two processes were told the same: one step was lost, and a step in doubt hides the sum.
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
