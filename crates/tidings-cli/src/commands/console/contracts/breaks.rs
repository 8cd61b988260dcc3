//! The breaks between each two contracts, by the check of `tidings schema check --fleet`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::asked::{Group, Groups};
use super::cut;
use crate::commands::schema::{exceptions, names_of};
use crate::contract::{Asked, Finding, Level, Report, Rule, check};

/// The time in which comparisons begin. The others are made when a page asks again.
const ROUND: Duration = Duration::from_secs(5);

/// The most breaks between two contracts, and of all of them, that are listed.
const OF_PAIR: usize = 50;
const LISTED: usize = 200;

/// The most characters of a sentence and of a place in a payload.
const TEXT: usize = 1_000;
const PATH: usize = 300;

/// The comparisons so far.
#[derive(Default)]
pub(super) struct Breaks(HashMap<Pair, Result<OfPair, String>>);

/// Two contracts, each as its hash and the member that it is named after.
type Pair = [(String, String); 2];

/// The order in which findings are listed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Break,
    Warning,
    Allowed,
}

/// The breaks between two contracts.
struct OfPair {
    listed: Vec<(Rank, Value)>,
    not_shown: Vec<Rank>,
}

/// All breaks.
#[derive(Default)]
pub(super) struct Found {
    pub(super) listed: Vec<Value>,
    pub(super) breaks_not_shown: usize,
    /// Further warnings, and breaks that the project allows.
    pub(super) warnings_not_shown: usize,
    /// The pairs that were not compared, in words.
    pub(super) not_compared: Vec<String>,
}

impl Breaks {
    /// Compares each two contracts, unless that was done before.
    pub(super) fn between(&mut self, groups: &Groups) -> Found {
        let began = Instant::now();
        let mut before = std::mem::take(&mut self.0);
        let mut found = Found::default();
        let (mut all, mut waiting) = (Vec::new(), 0);
        for (index, new) in groups.shown.iter().enumerate() {
            for old in &groups.shown[..index] {
                let pair = [old, new].map(|it| (it.hash.clone(), name_of(it)));
                let of_pair = match before.remove(&pair) {
                    None if began.elapsed() > ROUND => {
                        waiting += 1;
                        continue;
                    }
                    None => compare(&pair, old, new),
                    known => known,
                };
                if let Some(of_pair) = of_pair {
                    match &of_pair {
                        Ok(of_pair) => {
                            all.extend(of_pair.listed.iter().cloned());
                            found.leave_out(&of_pair.not_shown);
                        }
                        Err(why) => found.not_compared.push(why.clone()),
                    }
                    self.0.insert(pair, of_pair);
                }
            }
        }
        found.list(all);
        if waiting > 0 {
            found
                .not_compared
                .push(format!("{waiting} more pairs, which are next"));
        }
        found
    }
}

impl Found {
    /// Lists breaks before warnings, of whatever pair they are.
    fn list(&mut self, mut all: Vec<(Rank, Value)>) {
        all.sort_by_key(|(rank, _)| *rank);
        let rest = all.split_off(all.len().min(LISTED));
        let rest: Vec<_> = rest.into_iter().map(|(rank, _)| rank).collect();
        self.leave_out(&rest);
        self.listed = all.into_iter().map(|(_, it)| it).collect();
    }

    fn leave_out(&mut self, ranks: &[Rank]) {
        let breaks = ranks.iter().filter(|it| **it == Rank::Break).count();
        self.breaks_not_shown += breaks;
        self.warnings_not_shown += ranks.len() - breaks;
    }
}

/// Returns the member that a contract is named after: the oldest one, so that later ones do not change it.
fn name_of(group: &Group) -> String {
    let oldest = group.members.iter().min_by_key(|it| (it.started, it.id));
    oldest.map_or_else(String::new, |oldest| names_of(&[oldest]))
}

/// Compares two contracts. `None` if one of them is not known.
fn compare(pair: &Pair, old: &Group, new: &Group) -> Option<Result<OfPair, String>> {
    let (old, new) = (old.contract.as_ref().ok()?, new.contract.as_ref().ok()?);
    let [(_, old_name), (_, new_name)] = pair;
    let asked = Asked::in_fleet(old_name, Some(new_name));
    let compared = check(old, new, &asked);
    let compared = compared.map(|mut report| {
        // As for `schema check`, if the console runs in the directory of the project.
        let exceptions = exceptions().ok();
        let allowed = exceptions.map(|mut it| it.take(&mut report.findings));
        OfPair::of(&report, &allowed.unwrap_or_default(), pair)
    });
    Some(compared.map_err(|why| cut(&format!("{old_name} and {new_name}: {why}"), TEXT)))
}

impl OfPair {
    fn of(report: &Report, allowed: &[(Finding, String)], pair: &Pair) -> Self {
        let findings = report.findings.iter().filter(|it| it.level > Level::Fine);
        let findings = findings.map(|it| match it.level {
            Level::Break => (Rank::Break, it, None),
            _ => (Rank::Warning, it, None),
        });
        let allowed = allowed.iter();
        let allowed = allowed.map(|(it, why)| (Rank::Allowed, it, Some(why.as_str())));
        let mut all: Vec<_> = findings.chain(allowed).collect();
        all.sort_by_key(|(rank, ..)| *rank);
        let rest = all.split_off(all.len().min(OF_PAIR));
        let listed = all.into_iter();
        let listed = listed.map(|(rank, it, allowed)| (rank, describe(it, allowed, pair)));
        Self {
            listed: listed.collect(),
            not_shown: rest.into_iter().map(|(rank, ..)| rank).collect(),
        }
    }
}

fn describe(finding: &Finding, allowed: Option<&str>, pair: &Pair) -> Value {
    json!({
        "level": finding.level,
        "kind": finding.kind,
        "name": cut(&finding.name, super::NAME),
        "path": cut(&finding.path, PATH),
        "rule": finding.rule.map(Rule::name),
        "cause": finding.cause.map(Rule::name),
        "text": cut(&finding.text, TEXT),
        "instead": finding.instead,
        "allowed": allowed,
        "members": pair.each_ref().map(|(_, name)| cut(name, PATH)),
        "hashes": pair.each_ref().map(|(hash, _)| hash),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_are_listed_before_the_warnings_of_other_pairs() {
        let mut found = Found::default();
        let warnings = (0..LISTED).map(|_| (Rank::Warning, json!("warning")));
        let breaks = (0..3).map(|_| (Rank::Break, json!("break")));
        found.list(warnings.chain(breaks).collect());
        assert_eq!(found.listed.len(), LISTED);
        assert!(found.listed[..3].iter().all(|it| it == "break"));
        assert_eq!((found.breaks_not_shown, found.warnings_not_shown), (0, 3));
    }
}
