//! The breaks between each two contracts, by the check of `tidings schema check --fleet`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::asked::{Group, Groups};
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

/// The breaks between two contracts.
struct OfPair {
    listed: Vec<Value>,
    not_shown: usize,
}

/// All breaks.
#[derive(Default)]
pub(super) struct Found {
    pub(super) listed: Vec<Value>,
    pub(super) not_shown: usize,
    /// The pairs that were not compared, in words.
    pub(super) not_compared: Vec<String>,
}

impl Breaks {
    /// Compares each two contracts, unless that was done before.
    pub(super) fn between(&mut self, groups: &Groups) -> Found {
        let began = Instant::now();
        let mut before = std::mem::take(&mut self.0);
        let mut found = Found::default();
        let mut waiting = 0;
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
                    found.add(&of_pair);
                    self.0.insert(pair, of_pair);
                }
            }
        }
        if waiting > 0 {
            found
                .not_compared
                .push(format!("{waiting} more pairs: they are compared soon"));
        }
        found
    }
}

impl Found {
    fn add(&mut self, of_pair: &Result<OfPair, String>) {
        match of_pair {
            Ok(of_pair) => {
                let room = LISTED.saturating_sub(self.listed.len());
                let listed = of_pair.listed.iter().take(room);
                self.listed.extend(listed.cloned());
                self.not_shown += of_pair.not_shown + of_pair.listed.len().saturating_sub(room);
            }
            Err(why) => self.not_compared.push(why.clone()),
        }
    }
}

/// Returns the member that a contract is named after: it stays the same while it runs.
fn name_of(group: &Group) -> String {
    group
        .members
        .first()
        .map_or_else(String::new, |first| names_of(&[first]))
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
        let findings = findings.map(|it| (it, None));
        let allowed = allowed.iter().map(|(it, why)| (it, Some(why.as_str())));
        let all: Vec<_> = findings.chain(allowed).collect();
        let listed = all.iter().take(OF_PAIR);
        let listed = listed.map(|(finding, allowed)| describe(finding, *allowed, pair));
        Self {
            listed: listed.collect(),
            not_shown: all.len().saturating_sub(OF_PAIR),
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

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
