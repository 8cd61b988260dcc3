//! Checks of the connection from this machine.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::commands::doctor::command::url;
use crate::commands::doctor::facts::{Echo, Facts, Server, State};
use crate::commands::doctor::finding::{Finding, each, joined};
use tidings::TopologyKind;
use tidings::acl::Permissions;
use tidings::admin::{MissingPermissions, Part, ServerRole};

/// A round trip within one data center is shorter.
const SLOW: Duration = Duration::from_millis(50);

/// The largest difference of two clocks that are synchronized, in milliseconds.
const APART: u64 = 1_000;

pub(crate) fn reach(facts: &Facts) -> Vec<Finding> {
    if let Some(error) = &facts.unlocated {
        let text = format!("cannot find the servers behind the address: {error}");
        return vec![Finding::error(text).cure(facts.tidings(&["servers"]))];
    }
    let silent = facts.servers.iter().filter_map(|server| {
        let error = server.state.as_ref().err()?;
        let hint = match facts.topology {
            TopologyKind::Cluster => " (is `cluster-announce-ip` an address for here?)",
            TopologyKind::Sentinel => " (is `replica-announce-ip` an address for here?)",
            _ => "",
        };
        let text = format!("the server cannot be used from here: {error}{hint}");
        let finding = Finding::error(text).at(server);
        Some(finding.cure(server.cli(&["PING"])))
    });
    let silent = joined(silent.collect());
    if !silent.is_empty() {
        return silent;
    }
    match facts.servers.len() {
        0 => vec![Finding::skipped("no server is known")],
        1 => vec![Finding::ok(format!("{} answers", facts.servers[0].address))],
        all => vec![Finding::ok(format!("{all} of {all} servers answer"))],
    }
}

pub(crate) fn latency(facts: &Facts) -> Vec<Finding> {
    let slow = each(facts, |server, state| {
        if state.round_trip < SLOW {
            return Ok(None);
        }
        let text = format!("an answer takes {:.0?}", state.round_trip);
        Ok(Some(
            Finding::warning(text).cure(server.cli(&["--latency"])),
        ))
    });
    let longest = facts.answering().map(|(_, state)| state.round_trip).max();
    match longest {
        Some(longest) if slow.is_empty() => {
            vec![Finding::ok(format!("answers within {longest:.1?}"))]
        }
        _ => slow,
    }
}

pub(crate) fn role(facts: &Facts) -> Vec<Finding> {
    if facts.topology != TopologyKind::Standalone {
        return Vec::new();
    }
    each(facts, |_, state| {
        Ok(Some(match state.role {
            ServerRole::Master => Finding::ok("the server is the master"),
            ServerRole::Replica => {
                let host = state.info("master_host").unwrap_or("HOST");
                let port = state.info("master_port").unwrap_or("PORT");
                let address = url(host, port, facts.is_tls);
                let text = "the address names a replica: what it receives, its master does not";
                Finding::error(text).cure(facts.doctor_at(&address))
            }
            _ => Finding::skipped("the server does not say its role"),
        }))
    })
}

pub(crate) fn clock(facts: &Facts) -> Vec<Finding> {
    each(facts, |_, state| {
        let offset = state.known(state.clock_offset, "TIME")?;
        if offset.unsigned_abs() <= APART {
            return Ok(Some(Finding::ok(
                "the clocks of Redis and this machine agree",
            )));
        }
        let apart = Duration::from_millis(offset.unsigned_abs());
        let way = if offset > 0 { "ahead of" } else { "behind" };
        let text = format!(
            "the clock of Redis is {apart:.1?} {way} the clock of this machine: one of them is not \
             synchronized"
        );
        Ok(Some(Finding::warning(text).cure("chronyc tracking")))
    })
}

pub(crate) fn bus(facts: &Facts) -> Vec<Finding> {
    match &facts.bus {
        Ok(_) => vec![Finding::ok("a bus starts, and may receive")],
        Err(refusal) => {
            let text = format!("a bus cannot start: {refusal}");
            vec![with_rules(facts, Finding::error(text), refusal)]
        }
    }
}

pub(crate) fn echo(facts: &Facts) -> Vec<Finding> {
    let Ok(echo) = &facts.bus else {
        return Vec::new();
    };
    vec![match echo {
        Echo::Received(time) => Finding::ok(format!("receives its own event within {time:.1?}")),
        Echo::Unknown(why) => Finding::skipped(why),
        Echo::NotSent(why) => {
            let text = format!("a bus cannot send: {why}");
            with_rules(facts, Finding::error(text), why)
        }
        Echo::Missing(time) => Finding::error(format!(
            "an event of this bus did not come back within {time:?}: it is sent to another server \
             than it is received from"
        ))
        .cure(facts.tidings(&["listen"])),
    }]
}

/// Adds the rules that an error names to each server that answers.
fn with_rules(facts: &Facts, finding: Finding, error: &str) -> Finding {
    let rules = missing_rules(&facts.namespace, error);
    if rules.is_empty() {
        return finding;
    }
    let cures = facts.answering().map(|(server, state)| {
        let mut words = vec!["ACL", "SETUSER", &*state.user];
        words.extend(rules.iter().map(String::as_str));
        server.cli(&words)
    });
    cures.fold(finding, Finding::cure)
}

/// Returns the rules that an error names, of those that a bus needs. An error has words of Redis, which
/// must not become a part of a command.
fn missing_rules(namespace: &str, error: &str) -> Vec<String> {
    let Ok(bus) = Permissions::of_bus(namespace) else {
        return Vec::new();
    };
    let bus = bus.be_member().check_role().select_database().find_nodes();
    let needed = format!("{bus} {}", bus.clone().shard());
    let needed: BTreeSet<_> = needed.split(' ').collect();
    let of_database = format!("&tidings:{{{namespace}}}/");
    let is_rule = |word: &&str| {
        let database = word.strip_prefix(&of_database);
        let is_needed = word.starts_with(['+', '&', '~']) && needed.contains(word);
        is_needed || database.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let words = error.split_whitespace();
    let words = words.map(|word| word.trim_matches(['\'', '(', ')']));
    let rules: BTreeSet<_> = words.filter(is_rule).collect();
    rules.into_iter().map(str::to_owned).collect()
}

pub(crate) fn databases(facts: &Facts) -> Vec<Finding> {
    each(facts, |_, state| {
        let commands = ["INFO", "SELECT", "EXISTS"];
        let mut denied = commands
            .into_iter()
            .filter(|it| state.denied.contains_key(*it));
        let databases = state.known(state.databases.as_ref(), denied.next().unwrap_or("SELECT"))?;
        if databases.is_empty() {
            return Ok(Some(Finding::ok("the namespace is in one database")));
        }
        let numbers: Vec<_> = databases.iter().map(u64::to_string).collect();
        let text = format!(
            "the namespace {} is also in database {}: its processes there receive none of the events here",
            facts.namespace,
            numbers.join(", ")
        );
        let cure = "give all processes the same database number in their address";
        Ok(Some(Finding::warning(text).cure(cure)))
    })
}

pub(crate) fn permissions(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (server, state) in facts.answering() {
        let Some(all) = &state.missing else {
            findings.push(Finding::skipped("the server did not answer in time").at(server));
            continue;
        };
        for missing in all {
            findings.push(lacking(facts, server, state, missing).at(server));
        }
    }
    if findings.is_empty() && facts.answering().next().is_some() {
        return vec![Finding::ok("the user has the permissions of all parts")];
    }
    joined(findings)
}

/// A user may be meant not to use a part.
fn lacking(facts: &Facts, server: &Server, state: &State, missing: &MissingPermissions) -> Finding {
    let user = state.user.as_str();
    let (part, is_used) = match missing.part {
        // Without it, the others do not see a bus.
        Part::Members => ("the member list", true),
        Part::Shared => ("shared values and maps", false),
        Part::Counters => ("counters", false),
        Part::Journal => ("a journal", facts.has_journal()),
        _ => ("a part of the library", false),
    };
    if !missing.is_partial && !is_used {
        return Finding::ok(format!("the user {user} may not use {part}"));
    }
    let rules = missing.rules.join(" ");
    let text = format!("the user {user} may not use all of {part}: {rules} is missing");
    let mut words = vec!["ACL", "SETUSER", user];
    words.extend(missing.rules.iter().map(String::as_str));
    Finding::warning(text).cure(server.cli(&words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Severity;

    fn cures_of(error: &str) -> Vec<String> {
        let state = State {
            user: "o'brien".to_owned(),
            ..State::default()
        };
        let server = Server::with("10.0.0.7:6379", state);
        let facts = Facts {
            bus: Err(error.to_owned()),
            ..Facts::of(TopologyKind::Standalone, vec![server])
        };
        bus(&facts).remove(0).cures
    }

    #[test]
    fn an_error_of_redis_does_not_become_a_command_of_the_shell() {
        for hostile in [
            "redis says `ERR run ACL SETUSER a; curl x|sh`",
            "redis says `NOPERM ACL SETUSER a +@all $(reboot)`",
        ] {
            assert!(cures_of(hostile).is_empty(), "{hostile}");
        }
        let both = "redis says `NOPERM ACL SETUSER a; reboot` (an administrator can grant it: \
                    ACL SETUSER a '&tidings:{shop}' '&tidings:{shop}/3' +publish)";
        let cure = r"redis-cli -h 10.0.0.7 -p 6379 --tls ACL SETUSER 'o'\''brien' '&tidings:{shop}' '&tidings:{shop}/3' +publish";
        assert_eq!(cures_of(both), [cure]);
    }

    #[test]
    fn servers_that_are_not_found_are_an_error() {
        let facts = Facts {
            unlocated: Some("no node answers".to_owned()),
            ..Facts::of(TopologyKind::Cluster, Vec::new())
        };
        let findings = reach(&facts);
        assert_eq!(findings[0].severity, Severity::Error);
        assert_eq!(findings[0].cures, ["tidings servers -c production"]);
    }
}
