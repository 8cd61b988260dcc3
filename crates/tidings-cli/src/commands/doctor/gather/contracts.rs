//! Asks the members for their contracts, and compares each with each.

use std::collections::BTreeMap;

use tidings::{Bus, Inspection, Member, NodeId};
use tokio::time::Instant;

use crate::commands::doctor::facts::Contracts;
use crate::commands::schema::{Read, TIME, by_contract, contract_of, names_of, not_compared};
use crate::contract::{Asked, Exceptions, Names, check};

/// Nothing is asked where all members have one contract, or none.
pub(super) async fn look(
    bus: &Bus,
    members: &[Member],
    inspections: &BTreeMap<NodeId, Inspection>,
    mut exceptions: Exceptions,
) -> Contracts {
    let hash = |member: &Member| inspections.get(&member.id)?.contract.as_deref();
    let groups = by_contract(members.iter().map(|member| (member, hash(member))));
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, members)| names_of(members));
    let mut contracts = Contracts {
        members: groups
            .iter()
            .map(|(_, members)| names_of(members))
            .collect(),
        ..Contracts::default()
    };
    if groups.len() < 2 {
        return contracts;
    }
    let deadline = Instant::now() + TIME;
    let mut read = Vec::new();
    for (hash, members) in &groups {
        match contract_of(bus, hash, members, deadline).await {
            Ok(contract) => read.push(contract),
            Err(reasons) => contracts.unknown.extend(reasons),
        }
    }
    for (index, one) in read.iter().enumerate() {
        for other in &read[index + 1..] {
            compare(one, other, deadline, &mut contracts);
        }
    }
    exceptions.take(&mut contracts.changes);
    contracts
}

/// Adds the changes between two contracts.
fn compare(one: &Read, other: &Read, deadline: Instant, contracts: &mut Contracts) {
    if Instant::now() > deadline {
        let (one, other) = (&one.name, &other.name);
        let text = format!("cannot compare {other} with {one}: there was no time left");
        contracts.unknown.push(text);
        return;
    }
    let asked = Asked {
        is_same_program: false,
        names: Names {
            old: format!("processes like {}", one.name),
            new: format!("processes like {}", other.name),
        },
        ..Asked::default()
    };
    match check(&one.contract, &other.contract, &asked) {
        Ok(report) => contracts.changes.extend(report.findings),
        Err(problem) => {
            let problem = not_compared(one, other, &problem);
            contracts.unknown.push(problem.to_string());
        }
    }
}
