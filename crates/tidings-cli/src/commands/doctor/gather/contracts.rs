//! Asks the members for their contracts, and compares each with each.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use tidings::{Bus, Inspection, Member, NodeId};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::commands::doctor::facts::{Change, Contracts};
use crate::commands::schema::{
    Read, TIME, by_contract, names_of, not_compared, read_each, still_running,
};
use crate::contract::{Asked, Exceptions, Level, check};
use crate::exit::Problem;
use crate::terminal::{count, escape};

/// The most contracts that are asked for and compared: those of the most members.
const COMPARED: usize = 16;

/// The members with the same contract, and its hash.
type Group<'a> = (&'a str, Vec<&'a Member>);

/// Nothing is asked where all members have one contract, or none.
pub(super) async fn look(
    bus: &Bus,
    members: &[Member],
    inspections: &BTreeMap<NodeId, Inspection>,
    exceptions: Result<Exceptions, Problem>,
) -> Contracts {
    let hash = |member: &Member| inspections.get(&member.id)?.contract.as_deref();
    let groups = by_contract(members.iter().map(|member| (member, hash(member))));
    let known: usize = groups.values().map(Vec::len).sum();
    let mut unknown = Vec::new();
    let exceptions = exceptions.unwrap_or_else(|problem| {
        let problem = escape(problem);
        unknown.push(format!(
            "the breaks that the project allows are not known: {problem}"
        ));
        Exceptions::default()
    });
    let groups = largest(groups, &mut unknown);
    let names = groups.iter().map(|(_, members)| names_of(members));
    let mut contracts = Contracts {
        members: names.collect(),
        known,
        without: members.len() - known,
        ..Contracts::default()
    };
    if groups.len() > 1 {
        let deadline = Instant::now() + TIME;
        let (read, missing) = read_each(bus, groups, deadline).await;
        let (missing, left) = still_running(bus, missing).await;
        unknown.extend(missing.into_iter().flat_map(|it| it.reasons));
        contracts.known -= left.iter().map(|it| it.members.len()).sum::<usize>();
        contracts.members = read.iter().map(|it| it.name.clone()).collect();
        // It takes longer than a task may block.
        let comparing = spawn_blocking(move || Compared::of(&read, exceptions, deadline));
        match comparing.await {
            Ok(compared) => {
                contracts.breaks = compared.breaks;
                contracts.allowed = compared.allowed;
                unknown.extend(compared.unknown);
            }
            Err(_) => unknown.push("the comparison of the contracts panicked".to_owned()),
        }
    }
    contracts.unknown = unknown;
    contracts
}

/// Returns the contracts of the most members, and says how many others there are.
fn largest<'a>(
    groups: BTreeMap<&'a str, Vec<&'a Member>>,
    unknown: &mut Vec<String>,
) -> Vec<Group<'a>> {
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, members)| (Reverse(members.len()), names_of(members)));
    let others = groups.len().saturating_sub(COMPARED);
    if others > 0 {
        let others = count(others, "more contract");
        unknown.push(format!(
            "{others} of the members: only {COMPARED} are compared"
        ));
    }
    groups.truncate(COMPARED);
    groups
}

/// The results of the comparisons of each two contracts.
#[derive(Default)]
struct Compared {
    breaks: Vec<Change>,
    /// The number of breaks that the project allows.
    allowed: usize,
    unknown: Vec<String>,
}

impl Compared {
    fn of(read: &[Read], mut exceptions: Exceptions, deadline: Instant) -> Self {
        let mut compared = Self::default();
        let mut left_out = 0;
        for (index, one) in read.iter().enumerate() {
            for other in &read[index + 1..] {
                if Instant::now() < deadline {
                    compared.add(one, other, &mut exceptions);
                } else {
                    left_out += 1;
                }
            }
        }
        if left_out > 0 {
            let pairs = count(left_out, "pair");
            let text = format!("cannot compare {pairs} of contracts: there was no time left");
            compared.unknown.push(text);
        }
        compared
    }

    fn add(&mut self, one: &Read, other: &Read, exceptions: &mut Exceptions) {
        let asked = Asked::in_fleet(&one.name, Some(&other.name));
        match check(&one.contract, &other.contract, &asked) {
            Ok(report) => {
                let mut breaks = report.findings;
                breaks.retain(|it| it.level == Level::Break);
                self.allowed += exceptions.take(&mut breaks).len();
                self.breaks.extend(breaks);
            }
            Err(problem) => {
                let problem = not_compared(one, other, &problem);
                self.unknown.push(problem.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::contract::{Contract, with_hash};

    /// The contract of a program that has an id of this type in an event, and a field of its own.
    fn read(name: &str, id: &str) -> Read {
        let fields = json!({ "id": { "type": id }, name: { "type": "string" } });
        let user = json!({ "type": "object", "properties": fields, "required": ["id"] });
        let text = with_hash(json!({ "events": { "user.renamed": { "both": user } } }));
        Read {
            name: name.to_owned(),
            contract: Contract::parse(&text).unwrap(),
            text,
        }
    }

    #[test]
    fn each_two_contracts_are_compared_and_only_breaks_are_kept() {
        let all = [
            read("a", "string"),
            read("b", "integer"),
            read("c", "string"),
        ];
        let compared = Compared::of(&all, Exceptions::default(), Instant::now() + TIME);
        assert_eq!(compared.breaks.len(), 4, "{:?}", compared.breaks);
        assert!(compared.breaks.iter().all(|it| it.level == Level::Break));
        assert_eq!((compared.allowed, compared.unknown), (0, Vec::new()));
    }

    #[test]
    fn pairs_for_which_no_time_is_left_are_one_sentence() {
        let all = ["a", "b", "c"].map(|name| read(name, "string"));
        let compared = Compared::of(&all, Exceptions::default(), Instant::now());
        assert_eq!(
            compared.unknown,
            ["cannot compare 3 pairs of contracts: there was no time left"]
        );
    }

    #[tokio::test]
    async fn contracts_of_few_members_are_counted_if_there_are_many() {
        let bus = Bus::builder("memory:many-contracts").name("job-1");
        let bus = bus.start().await.unwrap();
        let members = bus.members().await.unwrap();
        let hashes: Vec<_> = (0..40).map(|number| format!("{number:016}")).collect();
        let mut groups: BTreeMap<_, _> = hashes
            .iter()
            .map(|hash| (&**hash, vec![&members[0]]))
            .collect();
        groups.insert("ffffffffffffffff", vec![&members[0]; 2]);
        let mut unknown = Vec::new();
        let largest = largest(groups, &mut unknown);
        assert_eq!(
            (largest.len(), largest[0].0),
            (COMPARED, "ffffffffffffffff")
        );
        assert_eq!(
            unknown,
            ["25 more contracts of the members: only 16 are compared"]
        );
    }
}
