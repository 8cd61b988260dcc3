//! The checks: pure functions from facts to findings.

mod cluster;
mod connection;
mod contracts;
mod members;
mod persistence;
mod replication;
mod security;
mod sentinel;
mod settings;

use crate::commands::doctor::facts::Facts;
use crate::commands::doctor::finding::Finding;

/// A check. It has no findings if it does not apply to the address.
pub(crate) struct Check {
    /// The name in the documentation and in JSON.
    pub(crate) id: &'static str,
    pub(crate) look: fn(&Facts) -> Vec<Finding>,
}

const fn check(id: &'static str, look: fn(&Facts) -> Vec<Finding>) -> Check {
    Check { id, look }
}

/// All checks, in the order of the output.
pub(crate) const CHECKS: &[Check] = &[
    check("reach", connection::reach),
    check("latency", connection::latency),
    check("role", connection::role),
    check("bus", connection::bus),
    check("echo", connection::echo),
    check("clock", connection::clock),
    check("database", connection::databases),
    check("permissions", connection::permissions),
    check("version", settings::version),
    check("output-buffer", settings::output_buffer),
    check("slow-subscribers", settings::slow_subscribers),
    check("memory", settings::memory),
    check("eviction", settings::eviction),
    check("clients", settings::clients),
    check("idle-timeout", settings::idle_timeout),
    check("keepalive", settings::keepalive),
    check("script-limit", settings::script_limit),
    check("default-user", security::default_user),
    check("open-network", security::open_network),
    check("encryption", security::encryption),
    check("certificate", security::certificate),
    check("master-password", security::master_password),
    check("disk", persistence::disk),
    check("persistence", persistence::persistence),
    check("fsync", persistence::fsync),
    check("journal-memory", persistence::journal_memory),
    check("retention", persistence::retention),
    check("replica-count", replication::replica_count),
    check("replica-link", replication::replica_link),
    check("replica-lag", replication::replica_lag),
    check("replica-writes", replication::replica_writes),
    check("min-replicas", replication::min_replicas),
    check("backlog", replication::backlog),
    check("sentinel-reach", sentinel::reach),
    check("sentinel-login", sentinel::login),
    check("sentinel-count", sentinel::count),
    check("sentinel-master", sentinel::master),
    check("sentinel-quorum", sentinel::quorum),
    check("cluster-slots", cluster::slots),
    check("cluster-nodes", cluster::nodes),
    check("cluster-replicas", cluster::replicas),
    check("cluster-timeout", cluster::node_timeout),
    check("members", members::listed),
    check("member-answer", members::answer),
    check("member-ready", members::ready),
    check("member-gaps", members::gaps),
    check("member-failures", members::failures),
    check("member-handlers", members::handlers),
    check("member-dropped", members::dropped),
    check("member-versions", members::versions),
    check("member-contracts", contracts::compatible),
    check("member-names", members::names),
    check("member-journal", members::journal_use),
    check("journal-behind", members::behind),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn directory() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn each_check_has_a_test_that_names_it() {
        let tests = fs::read_dir(directory().join("tests/cli/doctor")).unwrap();
        let texts = tests.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
        let all = texts.collect::<String>();
        let untested = CHECKS
            .iter()
            .filter(|check| !all.contains(&format!("\"{}\"", check.id)));
        let untested: Vec<_> = untested.map(|check| check.id).collect();
        assert!(untested.is_empty(), "{untested:?}");
    }

    #[test]
    fn each_check_is_in_the_table_of_the_book() {
        let path = directory().join("../../docs/src/cli.md");
        let page = fs::read_to_string(path).unwrap();
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let rows: BTreeSet<_> = rows.filter_map(|row| row.split('`').next()).collect();
        let missing = CHECKS.iter().filter(|check| !rows.contains(check.id));
        let missing: Vec<_> = missing.map(|check| check.id).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
