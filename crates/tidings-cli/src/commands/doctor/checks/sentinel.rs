//! Checks of the sentinels.

use std::collections::BTreeMap;

use crate::commands::doctor::checks::security::PASSWORD;
use crate::commands::doctor::command::quoted;
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
    let mut votes: BTreeMap<String, Vec<Voter<'_>>> = BTreeMap::new();
    let (mut findings, mut unknown) = (Vec::new(), Vec::new());
    for (sentinel, state) in answering(facts) {
        let field = |name: &str| state.master.get(name).unwrap_or_default();
        if field("ip").is_empty() || field("port").is_empty() {
            let reason = state.denied.get("SENTINEL MASTER").map(String::as_str);
            let reason = reason.unwrap_or("the sentinel does not say its master");
            unknown.push(Finding::skipped(reason).at(sentinel));
            continue;
        }
        let named = format!("{}:{}", field("ip"), field("port"));
        let flags = field("flags");
        if flags.contains("down") || flags.contains("failover") {
            let text = format!("a sentinel says that the master {named} is `{flags}`");
            let name = master_name(state);
            let look = sentinel.cli(&["SENTINEL", "MASTER", name]);
            findings.push(Finding::error(text).at(sentinel).cure(look));
        }
        votes.entry(named).or_default().push((sentinel, state));
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
        findings.push(follow_majority(facts, Finding::error(text), &votes));
    }
    if let (Some((named, _)), true) = (votes.first_key_value(), findings.is_empty()) {
        findings.push(Finding::ok(format!(
            "all sentinels name the master {named}"
        )));
    }
    findings.extend(unknown);
    joined(findings)
}

/// Adds the commands that have the other sentinels watch the master of the majority, if there is one.
fn follow_majority(
    facts: &Facts,
    finding: Finding,
    votes: &BTreeMap<String, Vec<Voter<'_>>>,
) -> Finding {
    let all: usize = votes.values().map(Vec::len).sum();
    let Some(majority) = votes.values().find(|voters| voters.len() * 2 > all) else {
        return finding.cure("compare the servers with `tidings servers`, and keep one master");
    };
    let Some((_, model)) = majority.first() else {
        return finding;
    };
    let has_password = facts.answering().any(|(_, it)| it.is_open == Some(false));
    let others = votes
        .values()
        .filter(|voters| voters.len() * 2 <= all)
        .flatten();
    others.fold(finding, |finding, (sentinel, state)| {
        let cure = watch(sentinel, master_name(state), model, has_password);
        finding.at(sentinel).cure(cure)
    })
}

/// A sentinel with a master that it names.
type Voter<'a> = (&'a Server, &'a State);

/// The commands that have a sentinel watch the master of another one, with the same settings.
fn watch(sentinel: &Server, name: &str, model: &State, has_password: bool) -> String {
    let field = |name: &str| model.master.get(name).unwrap_or_default();
    let (ip, port, quorum) = (field("ip"), field("port"), field("quorum"));
    let mut commands = vec![
        sentinel.cli(&["SENTINEL", "REMOVE", name]),
        sentinel.cli(&["SENTINEL", "MONITOR", name, ip, port, quorum]),
    ];
    let kept = ["down-after-milliseconds", "failover-timeout"];
    let kept = kept
        .into_iter()
        .filter(|setting| !field(setting).is_empty());
    let mut set = vec!["SENTINEL", "SET", name];
    set.extend(kept.flat_map(|setting| [setting, field(setting)]));
    if set.len() > 3 {
        commands.push(sentinel.cli(&set));
    }
    if has_password {
        commands.push(auth_pass(sentinel, name));
    }
    commands.join(" && ")
}

/// The command that gives a sentinel the password of the servers.
pub(super) fn auth_pass(sentinel: &Server, name: &str) -> String {
    let set = sentinel.cli(&["SENTINEL", "SET", name, "auth-pass"]);
    format!("{set} \"{PASSWORD}\"")
}

pub(super) fn master_name(state: &State) -> &str {
    state.master.get("name").unwrap_or("mymaster")
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
        Some(others.saturating_add(1))
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
        let all = quoted(&hosts.join(","));
        return vec![Finding::warning(text).cure(format!("write all in the address: {all}"))];
    }
    vec![Finding::ok(format!("there are {all} sentinels"))]
}

#[cfg(test)]
mod tests {
    use tidings::TopologyKind;
    use tidings::admin::ServerRole;

    use super::*;
    use crate::commands::doctor::facts::fields;
    use crate::commands::doctor::finding::Severity;

    fn sentinel(port: u16, master: &[(&str, &str)]) -> Server {
        let state = State {
            role: ServerRole::Sentinel,
            master: fields(master),
            ..State::default()
        };
        Server::with(&format!("10.0.0.7:{port}"), state)
    }

    fn naming(port: u16, ip: &str) -> Server {
        let master = [
            ("name", "a b"),
            ("ip", ip),
            ("port", "6379"),
            ("quorum", "2"),
        ];
        sentinel(port, &master)
    }

    #[test]
    fn a_sentinel_of_a_minority_is_told_the_master_of_the_majority() {
        let all = vec![naming(1, "10.0.0.8"), naming(2, "$(x)"), naming(3, "$(x)")];
        let findings = master(&Facts::of(TopologyKind::Sentinel, all));
        let cli = "redis-cli -h 10.0.0.7 -p 1 --tls SENTINEL";
        let cure = format!("{cli} REMOVE 'a b' && {cli} MONITOR 'a b' '$(x)' 6379 2");
        assert_eq!(findings[0].cures, [cure]);
        assert_eq!(findings[0].servers, ["10.0.0.7:1"]);
    }

    #[test]
    fn no_command_settles_a_tie() {
        let all = vec![naming(1, "10.0.0.8"), naming(2, "10.0.0.9")];
        let findings = master(&Facts::of(TopologyKind::Sentinel, all));
        assert!(
            findings[0]
                .cures
                .iter()
                .all(|cure| !cure.contains("redis-cli"))
        );
    }

    #[test]
    fn a_sentinel_that_does_not_say_its_master_has_no_vote() {
        let all = vec![naming(1, "10.0.0.8"), sentinel(2, &[])];
        let findings = master(&Facts::of(TopologyKind::Sentinel, all));
        let severities: Vec<_> = findings.iter().map(|it| it.severity).collect();
        assert_eq!(severities, [Severity::Ok, Severity::Skipped]);
    }
}
