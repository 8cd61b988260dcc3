//! Checks of the sentinels.

use std::collections::BTreeMap;

use crate::commands::doctor::facts::{Facts, Server, State};
use crate::commands::doctor::finding::{Finding, joined};

/// With fewer, there is no majority without one of them.
const FEWEST: usize = 3;

/// The sentinels that answer, with what they said.
fn answering(facts: &Facts) -> impl Iterator<Item = (&Server, &State)> {
    let all = facts.sentinels.iter();
    all.filter_map(|sentinel| Some((sentinel, sentinel.state.as_ref().ok()?)))
}

/// Returns whether this is the error of a login.
fn is_login(error: &str) -> bool {
    ["NOAUTH", "WRONGPASS", "NOPERM"]
        .iter()
        .any(|it| error.contains(it))
}

pub(crate) fn reach(facts: &Facts) -> Vec<Finding> {
    if facts.sentinels.is_empty() {
        return Vec::new();
    }
    let silent: Vec<_> = facts
        .sentinels
        .iter()
        .filter_map(|sentinel| Some((sentinel, sentinel.state.as_ref().err()?)))
        .filter(|(_, error)| !is_login(error))
        .collect();
    let all = facts.sentinels.len();
    if silent.is_empty() {
        return vec![Finding::ok(format!("{all} of {all} sentinels answer"))];
    }
    let is_minority = silent.len() * 2 < all;
    let findings = silent.into_iter().map(|(sentinel, error)| {
        let text = format!("a sentinel cannot be reached from here: {error}");
        let finding = if is_minority {
            Finding::warning(text)
        } else {
            Finding::error(text)
        };
        finding.at(sentinel).cure(sentinel.cli(&["PING"]))
    });
    joined(findings.collect())
}

pub(crate) fn login(facts: &Facts) -> Vec<Finding> {
    if facts.sentinels.is_empty() {
        return Vec::new();
    }
    let rejected = facts.sentinels.iter().filter_map(|sentinel| {
        let error = sentinel
            .state
            .as_ref()
            .err()
            .filter(|error| is_login(error))?;
        let text = format!("a sentinel rejects the login: {error}");
        let cure = "add ?sentinel_user=…&sentinel_password=… to the address";
        Some(Finding::error(text).at(sentinel).cure(cure))
    });
    let rejected = joined(rejected.collect());
    if rejected.is_empty() {
        return vec![Finding::ok("the sentinels accept the login")];
    }
    rejected
}

pub(crate) fn master(facts: &Facts) -> Vec<Finding> {
    let mut votes: BTreeMap<String, Vec<&Server>> = BTreeMap::new();
    let mut findings = Vec::new();
    for (sentinel, state) in answering(facts) {
        let field = |name: &str| state.master.get(name).map_or("", String::as_str);
        let named = format!("{}:{}", field("ip"), field("port"));
        let flags = field("flags");
        if flags.contains("down") || flags.contains("failover") {
            let text = format!("a sentinel says that the master {named} is `{flags}`");
            let name = master_name(state);
            let look = sentinel.cli(&["SENTINEL", "MASTER", name]);
            findings.push(Finding::error(text).at(sentinel).cure(look));
        }
        votes.entry(named).or_default().push(sentinel);
    }
    if votes.len() > 1 {
        let each: Vec<_> = votes
            .iter()
            .map(|(named, voters)| format!("{} name {named}", voters.len()))
            .collect();
        let text = format!(
            "the sentinels do not agree on the master: {}",
            each.join(", ")
        );
        let fewest = votes.values().min_by_key(|voters| voters.len());
        let mut finding = Finding::error(text);
        for voter in fewest.into_iter().flatten() {
            let name = voter.state.as_ref().map_or("", master_name);
            let reset = voter.cli(&["SENTINEL", "RESET", name]);
            finding = finding.at(voter).cure(reset);
        }
        findings.push(finding);
    }
    match votes.first_key_value() {
        Some((named, _)) if findings.is_empty() => {
            vec![Finding::ok(format!(
                "all sentinels name the master {named}"
            ))]
        }
        _ => joined(findings),
    }
}

fn master_name(state: &State) -> &str {
    state.master.get("name").map_or("mymaster", String::as_str)
}

pub(crate) fn quorum(facts: &Facts) -> Vec<Finding> {
    let findings = answering(facts).map(|(sentinel, state)| {
        if let Some(error) = state.denied.get("SENTINEL CKQUORUM") {
            return Finding::skipped(error).at(sentinel);
        }
        let Some(problem) = &state.quorum_problem else {
            return Finding::ok("enough sentinels are there for a failover").at(sentinel);
        };
        // A sentinel begins with the number that it can use, which others may count differently.
        let text =
            format!("the sentinels cannot begin a failover: {problem} (start those that are down)");
        let name = master_name(state);
        let cure = sentinel.cli(&["SENTINEL", "CKQUORUM", name]);
        Finding::error(text).at(sentinel).cure(cure)
    });
    joined(findings.collect())
}

pub(crate) fn count(facts: &Facts) -> Vec<Finding> {
    if facts.sentinels.is_empty() {
        return Vec::new();
    }
    let known = answering(facts).filter_map(|(_, state)| {
        let others: usize = state.master.get("num-other-sentinels")?.parse().ok()?;
        Some(others + 1)
    });
    let all = known.max().unwrap_or_default().max(facts.sentinels.len());
    if all < FEWEST {
        let text =
            format!("there are {all} sentinels: without one of them, the others are no majority");
        return vec![Finding::warning(text).cure("start a third sentinel on another machine")];
    }
    if facts.hosts < 2 {
        let text = "the address names one sentinel: no process can start while it is down";
        let hosts: Vec<_> = facts
            .sentinels
            .iter()
            .map(|it| it.address.as_str())
            .collect();
        let all = hosts.join(",");
        return vec![Finding::warning(text).cure(format!("write all in the address: {all}"))];
    }
    vec![Finding::ok(format!("there are {all} sentinels"))]
}
