//! The check of the contracts of the members: whether each can read what the others write.

use crate::commands::doctor::facts::{Change, Contracts, Facts};
use crate::commands::doctor::finding::Finding;
use crate::contract::Rule;
use crate::terminal::count;

/// The most breaks that are findings of their own.
const MOST: usize = 10;

pub(crate) fn compatible(facts: &Facts) -> Vec<Finding> {
    let contracts = &facts.fleet.contracts;
    if facts.fleet.inspections.is_empty() {
        return Vec::new();
    }
    let breaks = &contracts.breaks;
    let mut findings: Vec<_> = breaks.iter().take(MOST).map(finding).collect();
    if breaks.len() > MOST {
        let others = count(breaks.len() - MOST, "more break");
        findings.push(Finding::error(format!("{others} between the contracts")));
    }
    findings.extend(contracts.unknown.iter().map(Finding::skipped));
    if !findings.is_empty() {
        return findings;
    }
    vec![Finding::ok(summary(contracts))]
}

fn summary(contracts: &Contracts) -> String {
    let (known, all) = (contracts.known, contracts.known + contracts.without);
    let members = if known == all {
        "the members".to_owned()
    } else {
        format!("the members with a known contract ({known} of {all})")
    };
    match &*contracts.members {
        [] => "of no member a contract is known".to_owned(),
        [_] => format!("{members} have one contract"),
        names => {
            let allowed = match contracts.allowed {
                0 => String::new(),
                allowed => format!(
                    " except for {} that the project allows",
                    count(allowed, "break")
                ),
            };
            let (number, names) = (names.len(), names.join("; "));
            format!(
                "{members} have {number} contracts, and each can read the others{allowed}: {names}"
            )
        }
    }
}

fn finding(change: &Change) -> Finding {
    let rules = change.rule.into_iter().chain(change.cause);
    let rules: Vec<_> = rules.map(Rule::name).collect();
    let (kind, name, path, text) = (change.kind, &change.name, &change.path, &change.text);
    let place = if path == "." {
        String::new()
    } else {
        format!(" {path}")
    };
    let finding = Finding::error(format!(
        "{kind} {name}{place}: {text} ({})",
        rules.join(", ")
    ));
    match &change.instead {
        Some(instead) => finding.cure(instead),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_members_whose_contract_is_not_known_and_the_allowed_breaks_are_counted() {
        let text = |names: &[&str], [known, without, allowed]: [usize; 3]| {
            summary(&Contracts {
                members: names.iter().map(|it| (*it).to_owned()).collect(),
                known,
                without,
                allowed,
                ..Contracts::default()
            })
        };
        let both = ["api-1", "job-1"];
        for (names, numbers, expected) in [
            (&[][..], [0, 3, 0], "of no member a contract is known"),
            (&["api-1"], [3, 0, 0], "the members have one contract"),
            (
                &["api-1"],
                [3, 2, 0],
                "the members with a known contract (3 of 5) have one contract",
            ),
            (
                &both,
                [2, 0, 0],
                "the members have 2 contracts, and each can read the others: api-1; job-1",
            ),
            (
                &both,
                [2, 1, 1],
                "the members with a known contract (2 of 3) have 2 contracts, and each can read the \
                 others except for 1 break that the project allows: api-1; job-1",
            ),
        ] {
            assert_eq!(text(names, numbers), expected);
        }
    }
}
