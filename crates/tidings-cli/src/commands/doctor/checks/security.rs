//! Checks of who can use the servers.

use std::net::IpAddr;
use std::time::Duration;

use tidings::admin::ServerRole;

use crate::commands::doctor::checks::sentinel::{auth_pass, master_name};
use crate::commands::doctor::checks::settings::set;
use crate::commands::doctor::command::host_and_port;
use crate::commands::doctor::facts::{Facts, Server, State, Unseen};
use crate::commands::doctor::finding::{Finding, each, joined};
use crate::terminal::age;

/// The time in which a certificate is usually renewed, and the time in which it must be.
const SOON: Duration = Duration::from_hours(21 * 24);
const VERY_SOON: Duration = Duration::from_hours(3 * 24);

/// A password that the administrator has put into a variable. A shell refuses the command without it.
pub(super) const PASSWORD: &str = "${PASSWORD:?}";

pub(crate) fn default_user(facts: &Facts) -> Vec<Finding> {
    let findings = each(facts, |server, state| {
        let is_open = state.known(state.is_open, "ACL GETUSER")?;
        Ok(Some(if is_open {
            Finding::warning("the user `default` has no password").cure(with_password(server))
        } else {
            Finding::ok("the user `default` has a password or is off")
        }))
    });
    known_before(facts, findings)
}

/// Puts the commands before the cures that tell the password to the replicas and the sentinels: they
/// log in with it from then on.
fn known_before(facts: &Facts, findings: Vec<Finding>) -> Vec<Finding> {
    let users = facts.answering().filter(|(_, state)| {
        let has_replicas = state.info_number("connected_slaves").unwrap_or(0) > 0;
        state.role == ServerRole::Replica || has_replicas
    });
    let mut before: Vec<_> = users.map(|(server, _)| master_auth(server)).collect();
    for sentinel in &facts.sentinels {
        if let Ok(state) = &sentinel.state {
            before.push(auth_pass(sentinel, master_name(state)));
        }
    }
    let findings = findings.into_iter().map(|finding| {
        if finding.cures.is_empty() {
            return finding;
        }
        let cures = before.iter().cloned().chain(finding.cures).collect();
        Finding { cures, ..finding }
    });
    findings.collect()
}

fn master_auth(server: &Server) -> String {
    let command = server.cli(&["CONFIG", "SET", "masterauth"]);
    format!("{command} \"{PASSWORD}\"")
}

/// The command that gives the user `default` a password.
fn with_password(server: &Server) -> String {
    let command = server.cli(&["ACL", "SETUSER", "default"]);
    format!("{command} \">{PASSWORD}\"")
}

pub(crate) fn open_network(facts: &Facts) -> Vec<Finding> {
    let findings = each(facts, |server, state| {
        let is_open = state.known(state.is_open, "ACL GETUSER")?;
        let is_unprotected = state.config("protected-mode")? == "no";
        if !is_open || !is_unprotected || !listens_to_others(state)? {
            return Ok(Some(Finding::ok(
                "other machines cannot log in without a password",
            )));
        }
        let text = "every machine of the network can log in without a password: protected-mode is \
                    off, and the server listens to others";
        let finding = Finding::error(text).cure(with_password(server));
        Ok(Some(finding))
    });
    known_before(facts, findings)
}

fn listens_to_others(state: &State) -> Result<bool, Unseen> {
    let addresses = state.config("bind")?;
    // Without an address, it listens on all interfaces. A `-` is for those that may be absent.
    let mut addresses = addresses.split_whitespace().peekable();
    let is_empty = addresses.peek().is_none();
    Ok(is_empty || addresses.any(|it| !is_local(it.trim_start_matches('-'))))
}

pub(crate) fn encryption(facts: &Facts) -> Vec<Finding> {
    if facts.is_tls {
        return vec![Finding::ok("the connection is encrypted")];
    }
    let all = facts.servers.iter().chain(&facts.sentinels);
    let foreign: Vec<_> = all
        .map(|server| &server.address)
        .filter(|address| !is_local(host_and_port(address).0))
        .cloned()
        .collect();
    if foreign.is_empty() {
        return vec![Finding::ok("the servers are on this machine")];
    }
    let text = "the address has no TLS: the network can read the password and all events";
    let finding = Finding::warning(text);
    let cure = "write rediss: instead of redis: in the address, once the servers have tls-port";
    vec![
        Finding {
            servers: foreign,
            ..finding
        }
        .cure(cure),
    ]
}

pub(crate) fn certificate(facts: &Facts) -> Vec<Finding> {
    let all = facts.servers.iter().chain(&facts.sentinels);
    let findings = all.filter_map(|server| {
        let left = server.state.as_ref().ok()?.certificate_left?;
        let text = format!(
            "the certificate of the server ends in {}: have the server load a renewed one",
            age(left)
        );
        let finding = match left {
            left if left < VERY_SOON => Finding::error(text),
            left if left < SOON => Finding::warning(text),
            _ => return Some(Finding::ok("no certificate ends soon").at(server)),
        };
        let load = set(server, "tls-cert-file", "FILE");
        Some(finding.at(server).cure(load))
    });
    joined(findings.collect())
}

/// Returns whether only this machine can use the host.
fn is_local(host: &str) -> bool {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return ip.to_canonical().is_loopback();
    }
    host == "localhost" || host.starts_with('/')
}

pub(crate) fn master_password(facts: &Facts) -> Vec<Finding> {
    use tidings::TopologyKind;
    if !matches!(
        facts.topology,
        TopologyKind::Sentinel | TopologyKind::Cluster
    ) {
        return Vec::new();
    }
    each(facts, |server, state| {
        let is_open = state.known(state.is_open, "ACL GETUSER")?;
        let has_password = state.known(state.has_master_password, "CONFIG GET")?;
        if is_open || has_password {
            return Ok(Some(Finding::ok("the server can follow another master")));
        }
        let text = "masterauth is empty: this server cannot follow another master after a failover";
        Ok(Some(Finding::warning(text).cure(master_auth(server))))
    })
}

#[cfg(test)]
mod tests {
    use tidings::TopologyKind;

    use super::*;
    use crate::commands::doctor::facts::fields;

    #[test]
    fn replicas_and_sentinels_get_the_password_before_the_server_asks_for_it() {
        let replica = State {
            role: ServerRole::Replica,
            is_open: Some(true),
            ..State::default()
        };
        let sentinel = State {
            role: ServerRole::Sentinel,
            master: fields(&[("name", "main")]),
            ..State::default()
        };
        let all = vec![
            Server::with("10.0.0.7:6379", replica),
            Server::with("10.0.0.7:26379", sentinel),
        ];
        let cures = default_user(&Facts::of(TopologyKind::Sentinel, all))
            .remove(0)
            .cures;
        let begins = [
            "CONFIG SET masterauth",
            "SENTINEL SET main auth-pass",
            "ACL SETUSER",
        ];
        assert_eq!(cures.len(), begins.len());
        for (cure, begin) in cures.iter().zip(begins) {
            assert!(cure.contains(&format!("--tls {begin}")), "{cure}");
        }
    }

    #[test]
    fn a_host_of_this_machine_is_local() {
        let local = [
            "127.0.0.1:6379",
            "[::1]:6379",
            "localhost:6379",
            "/run/redis.sock",
        ];
        assert!(
            local
                .iter()
                .all(|address| is_local(host_and_port(address).0))
        );
        let foreign = [
            "10.0.0.7:6379",
            "redis.example:6379",
            "[fe80::1]:6379",
            "0.0.0.0:1",
        ];
        assert!(
            !foreign
                .iter()
                .any(|address| is_local(host_and_port(address).0))
        );
    }
}
