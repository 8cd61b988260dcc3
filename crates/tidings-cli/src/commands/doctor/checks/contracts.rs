//! The check of the contracts of the members: whether each can read what the others write.

use crate::commands::doctor::facts::Facts;
use crate::commands::doctor::finding::Finding;
use crate::contract::{self, Level, Rule};

/// The most breaks that are findings of their own.
const MOST: usize = 10;

pub(crate) fn compatible(facts: &Facts) -> Vec<Finding> {
    let contracts = &facts.fleet.contracts;
    if facts.fleet.inspections.is_empty() {
        return Vec::new();
    }
    let changes = contracts.changes.iter();
    let breaks: Vec<_> = changes.filter(|it| it.level == Level::Break).collect();
    let mut findings: Vec<_> = breaks.iter().take(MOST).map(|it| finding(it)).collect();
    if breaks.len() > MOST {
        let text = format!("{} more changes break members", breaks.len() - MOST);
        let cure = facts.tidings(&["schema", "check", "--fleet"]);
        findings.push(Finding::error(text).cure(cure));
    }
    findings.extend(contracts.unknown.iter().map(Finding::skipped));
    if !findings.is_empty() {
        return findings;
    }
    vec![Finding::ok(match &*contracts.members {
        [] => "no member has a contract".to_owned(),
        [_] => "the members have one contract".to_owned(),
        members => format!(
            "the members have {} contracts, and each can read the others: {}",
            members.len(),
            members.join("; ")
        ),
    })]
}

fn finding(change: &contract::Finding) -> Finding {
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
