//! Checks of the nodes of a Redis Cluster.

use std::collections::BTreeSet;

use tidings::TopologyKind;

use crate::commands::doctor::checks::settings::set;
use crate::commands::doctor::command::quoted;
use crate::commands::doctor::facts::{ClusterNode, Facts};
use crate::commands::doctor::finding::{Finding, each, joined};

const SLOTS: u64 = 16_384;

/// The shortest and the longest `cluster-node-timeout` that suit most networks, in milliseconds.
const SHORTEST_TIMEOUT: u64 = 1_000;
const LONGEST_TIMEOUT: u64 = 30_000;

pub(crate) fn slots(facts: &Facts) -> Vec<Finding> {
    if facts.topology != TopologyKind::Cluster {
        return Vec::new();
    }
    each(facts, |server, state| {
        let field = |name| state.cluster(name);
        let assigned: u64 = field("cluster_slots_assigned")?.parse().unwrap_or_default();
        let failed: u64 = field("cluster_slots_fail")?.parse().unwrap_or_default();
        let is_ok = field("cluster_state")? == "ok";
        if is_ok && assigned == SLOTS && failed == 0 {
            return Ok(Some(Finding::ok("all slots have a master")));
        }
        let without = SLOTS.saturating_sub(assigned) + failed;
        let text = match without {
            0 => "the cluster is down for this node: it does not see a majority of the masters"
                .to_owned(),
            without => {
                format!("{without} of {SLOTS} slots have no master: their keys are unavailable")
            }
        };
        let fix = format!("redis-cli --cluster fix {}", quoted(&server.address));
        Ok(Some(Finding::error(text).cure(fix)))
    })
}

pub(crate) fn nodes(facts: &Facts) -> Vec<Finding> {
    let Some(view) = best_view(facts) else {
        return Vec::new();
    };
    let findings = view.iter().filter_map(|node| {
        let trouble = trouble(facts, node)?;
        let is_replica = has(node, "slave");
        let role = if is_replica { "replica" } else { "master" };
        let address = &node.address;
        let text = format!(
            "the {role} {address} {trouble}, say other nodes: start it, or have all nodes forget it"
        );
        let finding = if is_replica {
            Finding::warning(text)
        } else {
            Finding::error(text)
        };
        let id = quoted(&node.id);
        Some(finding.cure(format!(
            "redis-cli --cluster call HOST:PORT CLUSTER FORGET {id}"
        )))
    });
    let findings: Vec<_> = findings.collect();
    if findings.is_empty() {
        return vec![Finding::ok("no node has failed")];
    }
    findings
}

/// Returns the view with the most nodes.
fn best_view(facts: &Facts) -> Option<&[ClusterNode]> {
    let views = facts.answering().map(|(_, state)| &state.nodes[..]);
    let best = views.max_by_key(|nodes| nodes.len())?;
    (!best.is_empty()).then_some(best)
}

fn has(node: &ClusterNode, flag: &str) -> bool {
    node.flags.iter().any(|it| it == flag)
}

/// Returns the worst that any node says about a node.
fn trouble(facts: &Facts, node: &ClusterNode) -> Option<&'static str> {
    let troubles = [
        ("fail", "has failed"),
        ("fail?", "does not answer"),
        ("noaddr", "has no known address"),
    ];
    let is_said = |flag: &str| {
        let views = facts.answering().flat_map(|(_, state)| &state.nodes);
        let mut views = views.filter(|seen| seen.id == node.id);
        views.any(|seen| has(seen, flag))
    };
    let mut troubles = troubles.into_iter();
    let (_, trouble) = troubles.find(|(flag, _)| is_said(flag))?;
    Some(trouble)
}

pub(crate) fn replicas(facts: &Facts) -> Vec<Finding> {
    let Some(view) = best_view(facts) else {
        return Vec::new();
    };
    let up = view.iter().filter(|node| trouble(facts, node).is_none());
    let with: BTreeSet<_> = up.filter_map(|node| node.master.as_ref()).collect();
    let masters = view.iter().filter(|it| it.has_slots && it.master.is_none());
    let without = masters.filter(|node| !with.contains(&node.id));
    let findings = without.map(|node| {
        let text = "a master has no replica, so its keys are unavailable when it is down: make an \
                    empty node its replica";
        let id = quoted(&node.id);
        let cure = format!("redis-cli -h HOST -p PORT CLUSTER REPLICATE {id}");
        let mut finding = Finding::warning(text).cure(cure);
        finding.servers.push(node.address.clone());
        finding
    });
    let findings = joined(findings.collect());
    if findings.is_empty() {
        return vec![Finding::ok("each master has a replica")];
    }
    findings
}

pub(crate) fn node_timeout(facts: &Facts) -> Vec<Finding> {
    if facts.topology != TopologyKind::Cluster {
        return Vec::new();
    }
    each(facts, |server, state| {
        let timeout = state.config_number("cluster-node-timeout")?;
        let effect = match timeout {
            ..SHORTEST_TIMEOUT => "a short pause of a node begins a failover",
            SHORTEST_TIMEOUT..=LONGEST_TIMEOUT => {
                return Ok(Some(Finding::ok(format!(
                    "cluster-node-timeout is {timeout} ms"
                ))));
            }
            _ => "the keys of a failed master are unavailable for that time",
        };
        let text = format!("cluster-node-timeout is {timeout} ms: {effect}");
        Ok(Some(Finding::warning(text).cure(set(
            server,
            "cluster-node-timeout",
            "5000",
        ))))
    })
}
