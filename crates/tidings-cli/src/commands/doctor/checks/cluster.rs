//! Checks of the nodes of a Redis Cluster.

use std::collections::BTreeSet;

use tidings::TopologyKind;
use tidings::admin::ClusterNode;

use crate::commands::doctor::checks::settings::set;
use crate::commands::doctor::command::{quoted, redis_cli_at, redis_cli_cluster};
use crate::commands::doctor::facts::Facts;
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
        let without = SLOTS.saturating_sub(assigned).saturating_add(failed);
        let text = match without {
            0 => "the cluster is down for this node: it does not see a majority of the masters"
                .to_owned(),
            without => {
                format!("{without} of {SLOTS} slots have no master: their keys are unavailable")
            }
        };
        let fix = redis_cli_cluster(&server.address, server.is_tls, "fix", &[]);
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
        let forget = forget(facts, node);
        let or = if forget.is_some() {
            ", or have all nodes forget it"
        } else {
            ""
        };
        let text = format!("the {role} {address} {trouble}, say other nodes: start it{or}");
        let finding = if is_replica {
            Finding::warning(text)
        } else {
            Finding::error(text)
        };
        Some(finding.cure(forget.unwrap_or_else(|| format!("start {}", quoted(address)))))
    });
    let findings: Vec<_> = findings.collect();
    if findings.is_empty() {
        return vec![Finding::ok("no node has failed")];
    }
    findings
}

/// Returns the command that removes a node that is gone. One that has slots, or is only slow, must come
/// back.
fn forget(facts: &Facts, node: &ClusterNode) -> Option<String> {
    let is_gone = is_said(facts, node, "fail") || is_said(facts, node, "noaddr");
    let mut views = views_of(facts, node);
    if !is_gone || views.any(|seen| seen.has_slots) {
        return None;
    }
    let (server, _) = facts.answering().next()?;
    let words = ["CLUSTER", "FORGET", &node.id];
    Some(redis_cli_cluster(
        &server.address,
        server.is_tls,
        "call",
        &words,
    ))
}

/// Returns what the nodes say about a node.
fn views_of<'a>(facts: &'a Facts, node: &'a ClusterNode) -> impl Iterator<Item = &'a ClusterNode> {
    let views = facts.answering().flat_map(|(_, state)| &state.nodes);
    views.filter(|seen| seen.id == node.id)
}

fn is_said(facts: &Facts, node: &ClusterNode, flag: &str) -> bool {
    views_of(facts, node).any(|seen| has(seen, flag))
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
    let mut troubles = troubles.into_iter();
    let (_, trouble) = troubles.find(|(flag, _)| is_said(facts, node, flag))?;
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
        let id = &node.id;
        let cure = redis_cli_at("HOST", "PORT", facts.is_tls, &["CLUSTER", "REPLICATE", id]);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::facts::{Server, State};

    fn cure_for(flags: &str, has_slots: bool) -> String {
        let mut node = ClusterNode::default();
        node.id = "a1".to_owned();
        node.address = "10.0.0.8:7000".to_owned();
        node.flags = flags.split(',').map(str::to_owned).collect();
        node.has_slots = has_slots;
        let state = State {
            nodes: vec![node],
            ..State::default()
        };
        let server = Server::with("10.0.0.7:7000", state);
        let facts = Facts::of(TopologyKind::Cluster, vec![server]);
        nodes(&facts).remove(0).cures.remove(0)
    }

    #[test]
    fn only_a_node_that_is_gone_and_has_no_slots_is_forgotten() {
        let forget = "redis-cli --tls --cluster call 10.0.0.7:7000 CLUSTER FORGET a1";
        assert_eq!(cure_for("slave,fail", false), forget);
        assert_eq!(cure_for("master,noaddr", false), forget);
        for (flags, has_slots) in [("slave,fail?", false), ("master,fail", true)] {
            assert_eq!(cure_for(flags, has_slots), "start 10.0.0.8:7000");
        }
    }
}
