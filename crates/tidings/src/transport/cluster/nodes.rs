//! The answers of the nodes of a cluster, and what follows from them: the nodes to use, and the one that
//! has a slot. Nodes can be dead, cut off, stale, or reachable at other addresses than they announce.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::error::connect::ConnectError;
use crate::namespace::channel::PubSub;
use crate::transport::address::Place;
use crate::transport::answers::{self, NoAnswer};

/// The number of slots of a cluster.
pub(super) const SLOTS: u16 = 16_384;

/// The maximum number of slot ranges that an error lists.
const MAX_LISTED: usize = 8;

/// The answer of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its identity; its address if it may not be asked for that.
    pub(super) id: String,
    /// True if it reports that the cluster is up.
    pub(super) is_up: bool,
    /// The answer with the higher epoch is newer.
    pub(super) epoch: u64,
    pub(super) shards: Vec<Shard>,
}

/// Slots, and the nodes that have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) slots: RangeInclusive<u16>,
    /// The master first.
    pub(super) nodes: Vec<Node>,
}

/// A node, and an address of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) at: Place,
}

/// The answers of all nodes that were asked at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes {
    said: Vec<(Place, Result<Answer, NoAnswer>)>,
}

impl Nodes {
    /// Adds the answer of the node at `place`.
    pub(super) fn put(&mut self, place: Place, answer: Result<Answer, NoAnswer>) {
        self.said.push((place, answer));
    }

    /// Adds a node without an answer, unless it has one.
    pub(super) fn add_silent(&mut self, place: Place) {
        if self.said.iter().all(|(known, _)| *known != place) {
            self.put(place, Err(NoAnswer::yet()));
        }
    }

    /// The addresses of all nodes: those that were asked, and those that are named.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        let asked = self.said.iter().filter(|(_, said)| said.is_ok());
        let asked = asked.map(|(place, _)| place);
        asked.chain(self.named().map(|node| &node.at))
    }

    /// Returns true if no node has answered.
    pub(super) fn is_silent(&self) -> bool {
        self.answers().next().is_none()
    }

    /// Returns true if at least two nodes have answered.
    pub(super) fn are_two(&self) -> bool {
        let mut ids = self.answers().map(|(_, answer)| &answer.id);
        ids.next().is_some_and(|first| ids.any(|id| id != first))
    }

    /// The nodes that are named and have not answered.
    pub(super) fn named(&self) -> impl Iterator<Item = &Node> {
        let shards = self.answers().flat_map(|(_, answer)| &answer.shards);
        let named = shards.flat_map(|shard| &shard.nodes);
        named.filter(|node| self.place_of(&node.id).is_none())
    }

    /// The addresses of the nodes that are named as those of the slot, and have not answered.
    pub(super) fn named_of(&self, slot: u16) -> Vec<Place> {
        let nodes = self.shard_of(slot).unwrap_or_default().iter();
        let silent = nodes.filter(|node| self.place_of(&node.id).is_none());
        silent.map(|node| node.at.clone()).collect()
    }

    /// The nodes that answered, without those that are cut off or forgotten. With sharded pub/sub,
    /// those that have the slot.
    pub(super) fn usable(&self, slot: u16, pubsub: PubSub) -> Vec<Node> {
        let mut usable: Vec<Node> = Vec::new();
        let shard = match pubsub {
            PubSub::Classic => None,
            PubSub::Sharded => Some(self.shard_of(slot).unwrap_or_default()),
        };
        for (place, answer) in self.believed() {
            let is_new = usable.iter().all(|node| node.id != answer.id);
            let is_in_shard = shard.is_none_or(|shard| {
                let is_it = |node: &Node| node.id == answer.id || node.at == *place;
                shard.iter().any(is_it)
            });
            if is_new && is_in_shard {
                usable.push(Node {
                    id: answer.id.clone(),
                    at: place.clone(),
                });
            }
        }
        usable
    }

    /// The nodes that cannot be used, and why: those that are cut off or forgotten, and those that have
    /// not answered at any address.
    pub(super) fn left_out(&self) -> Vec<String> {
        let left_out = self.said.iter().filter(|(place, said)| {
            if said.is_ok() {
                return self.believed().all(|(believed, _)| believed != place);
            }
            // The node that announces this address may have answered at another one.
            let is_named = self.named().any(|node| node.at == *place);
            is_named || self.translated(place) == *place
        });
        left_out
            .map(|(place, said)| answers::line((place, self.text(said))))
            .collect()
    }

    /// The node that has the slot, at the address where it answered.
    pub(super) fn owner(&self, slot: u16) -> Option<Node> {
        let named = self.shard_of(slot)?.first()?;
        Some(Node {
            id: named.id.clone(),
            at: self.reached(named),
        })
    }

    /// The address at which a node is reached that is announced at this one.
    pub(super) fn translated(&self, announced: &Place) -> Place {
        let shards = self.answers().flat_map(|(_, answer)| &answer.shards);
        let mut nodes = shards.flat_map(|shard| &shard.nodes);
        let named = nodes.find(|node| node.at == *announced);
        named.map_or_else(|| announced.clone(), |named| self.reached(named))
    }

    /// Returns true if the node is forgotten, or reports that the cluster is down while another one
    /// reports that it is up.
    pub(super) fn is_cut_off(&self, id: &str) -> bool {
        let (mut is_down, mut is_up) = (false, false);
        for (_, answer) in self.answers() {
            if answer.id == id {
                if self.is_forgotten(answer) {
                    return true;
                }
                is_down = !answer.is_up;
            } else {
                is_up |= answer.is_up;
            }
        }
        is_down && is_up
    }

    /// The error when no node has all slots or the cluster reports to be down.
    pub(super) fn check_slots(&self, slot: u16) -> Result<(), ConnectError> {
        let newest = self.believed().max_by_key(|(_, answer)| answer.epoch);
        let Some((_, newest)) = newest else {
            return Err(self.why_none());
        };
        if newest.is_up && self.owner(slot).is_some() {
            return Ok(());
        }
        let uncovered = uncovered(&newest.shards);
        Err(ConnectError::Uncovered {
            slots: if uncovered.is_empty() {
                "a majority of its masters".to_owned()
            } else {
                format!("the slots {uncovered}")
            },
            said: self.said(),
        })
    }

    /// The error when no node can be used.
    pub(super) fn why_none(&self) -> ConnectError {
        let mut failed = self.said.iter().filter_map(|(_, said)| said.as_ref().err());
        ConnectError::Nodes {
            is_final: self.is_silent() && failed.any(|why| why.is_final),
            said: self.said(),
        }
    }

    /// The answer of each node, for errors.
    pub(super) fn said(&self) -> String {
        let said = self.said.iter();
        answers::list(said.map(|(place, said)| (place, self.text(said))))
    }

    /// The address at which a named node answered, or the announced one.
    fn reached(&self, named: &Node) -> Place {
        let answered = self.place_of(&named.id);
        answered.unwrap_or(&named.at).clone()
    }

    fn place_of(&self, id: &str) -> Option<&Place> {
        let mut answers = self.answers();
        answers
            .find(|(_, answer)| answer.id == id)
            .map(|(place, _)| place)
    }

    /// The nodes of the slot as most answers name them, the master first.
    fn shard_of(&self, slot: u16) -> Option<&[Node]> {
        let mut votes: BTreeMap<&str, (usize, u64, &[Node])> = BTreeMap::new();
        for (_, answer) in self.believed() {
            let mut shards = answer.shards.iter();
            let Some(shard) = shards.find(|shard| shard.slots.contains(&slot)) else {
                continue;
            };
            let Some(master) = shard.nodes.first() else {
                continue;
            };
            let vote = votes.entry(&master.id).or_insert((0, 0, &shard.nodes));
            vote.0 += 1;
            if answer.epoch > vote.1 {
                (vote.1, vote.2) = (answer.epoch, &shard.nodes);
            }
        }
        let most = votes
            .into_values()
            .max_by_key(|(votes, epoch, _)| (*epoch, *votes));
        most.map(|(.., nodes)| nodes)
    }

    /// The answers to believe: of the nodes that report that the cluster is up, if there are any, and
    /// that the others name.
    fn believed(&self) -> impl Iterator<Item = (&Place, &Answer)> {
        let is_any_up = self.answers().any(|(_, answer)| answer.is_up);
        self.answers()
            .filter(move |(_, answer)| (answer.is_up || !is_any_up) && !self.is_forgotten(answer))
    }

    /// Returns true if the node names itself, and no other node that reports that the cluster is up
    /// names it. After `CLUSTER FORGET`, the others ignore its events, and it still reports that the
    /// cluster is up. One other node is not enough: it may be the one that is forgotten.
    fn is_forgotten(&self, answer: &Answer) -> bool {
        let others = self.answers().map(|(_, other)| other);
        let others = others.filter(|other| other.is_up && other.id != answer.id);
        answer.names(&answer.id)
            && others.clone().count() > 1
            && !others.clone().any(|other| other.names(&answer.id))
    }

    fn answers(&self) -> impl Iterator<Item = (&Place, &Answer)> + Clone {
        self.said
            .iter()
            .filter_map(|(place, said)| Some((place, said.as_ref().ok()?)))
    }

    fn text(&self, said: &Result<Answer, NoAnswer>) -> String {
        match said {
            Ok(answer) if self.is_forgotten(answer) => "the other nodes do not name it".to_owned(),
            Ok(answer) if answer.is_up => "the cluster is up".to_owned(),
            Ok(_) => "the cluster is down".to_owned(),
            Err(none) => none.why.clone(),
        }
    }
}

/// The address that the node at `asked` names. It does not name a host that it does not know: its own.
pub(super) fn place(host: &str, port: u16, asked: &Place) -> Place {
    let is_known = !matches!(host, "" | "?");
    let host = if is_known { host } else { &asked.0 };
    (host.to_owned(), port)
}

impl Answer {
    /// Returns true if it names this node as one that has slots, or a replica of one.
    fn names(&self, id: &str) -> bool {
        let mut nodes = self.shards.iter().flat_map(|shard| &shard.nodes);
        nodes.any(|node| node.id == id)
    }
}

/// The slots that no shard has, such as `0-5460, 16383`.
fn uncovered(shards: &[Shard]) -> String {
    let mut covered: Vec<_> = shards.iter().map(|shard| &shard.slots).collect();
    covered.sort_by_key(|slots| *slots.start());
    let (mut next, mut missing) = (0, Vec::new());
    let ends = SLOTS..=SLOTS;
    for slots in covered.into_iter().chain([&ends]) {
        if *slots.start() > next {
            missing.push((next, slots.start() - 1));
        }
        next = next.max(slots.end().saturating_add(1));
    }
    let mut listed: Vec<_> = missing
        .iter()
        .take(MAX_LISTED)
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    if missing.len() > MAX_LISTED {
        listed.push("…".to_owned());
    }
    listed.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first and last slot of each shard, and its nodes.
    type Shards = &'static [(u16, u16, &'static [u16])];

    /// A cluster whose slots are split among masters 1, 2 and 3, each with a replica: 11, 12 and 13.
    const SPLIT: Shards = &[
        (0, 5_460, &[1, 11]),
        (5_461, 10_922, &[2, 12]),
        (10_923, 16_383, &[3, 13]),
    ];

    /// The same after a failover of the last shard.
    const FAILED_OVER: Shards = &[
        (0, 5_460, &[1, 11]),
        (5_461, 10_922, &[2, 12]),
        (10_923, 16_383, &[13]),
    ];

    const SLOT: u16 = 12_000;

    fn place(port: u16) -> Place {
        ("10.0.0.1".to_owned(), port)
    }

    fn node(number: u16) -> Node {
        Node {
            id: format!("node-{number}"),
            at: place(number),
        }
    }

    fn answer(number: u16, is_up: bool, shards: Shards) -> Answer {
        let shard = |(first, last, nodes): &(u16, u16, &[u16])| Shard {
            slots: *first..=*last,
            nodes: nodes.iter().map(|number| node(*number)).collect(),
        };
        Answer {
            id: node(number).id,
            is_up,
            epoch: 1,
            shards: shards.iter().map(shard).collect(),
        }
    }

    /// The answers of these nodes: true if they report that the cluster is up.
    fn nodes(answers: &[(u16, bool, Shards)]) -> Nodes {
        let mut nodes = Nodes::default();
        for (number, is_up, shards) in answers {
            nodes.put(place(*number), Ok(answer(*number, *is_up, shards)));
        }
        nodes
    }

    fn none(is_final: bool) -> Result<Answer, NoAnswer> {
        Err(NoAnswer {
            why: "connection refused".to_owned(),
            is_final,
        })
    }

    fn ports(nodes: &[Node]) -> Vec<u16> {
        nodes.iter().map(|node| node.at.1).collect()
    }

    #[test]
    fn nodes_that_report_that_the_cluster_is_up_are_believed() {
        for (answers, usable, owner) in [
            (
                &[(1, true, SPLIT), (2, true, SPLIT)][..],
                &[1, 2][..],
                Some(3),
            ),
            // Node 3 is cut off, and does not know that its replica has its slots.
            (&[(1, true, FAILED_OVER), (3, false, SPLIT)], &[1], Some(13)),
            // None is better than another.
            (&[(1, false, SPLIT), (3, false, SPLIT)], &[1, 3], Some(3)),
            (&[(1, true, &SPLIT[..2])], &[1], None),
            (&[], &[], None),
        ] {
            let nodes = nodes(answers);
            assert_eq!(ports(&nodes.usable(SLOT, PubSub::Classic)), usable);
            assert_eq!(nodes.owner(SLOT).map(|node| node.at.1), owner);
        }
    }

    #[test]
    fn the_newest_answer_names_the_owner_of_a_slot() {
        let mut known = nodes(&[(1, true, SPLIT), (2, true, SPLIT)]);
        let newer = Answer {
            epoch: 2,
            ..answer(13, true, FAILED_OVER)
        };
        known.put(place(13), Ok(newer));
        assert_eq!(known.owner(SLOT).unwrap().at.1, 13);
    }

    #[test]
    fn only_nodes_of_the_shard_are_used_with_sharded_pubsub() {
        let all = [1, 2, 3, 11, 12, 13].map(|number| (number, true, SPLIT));
        assert_eq!(ports(&nodes(&all).usable(SLOT, PubSub::Sharded)), [3, 13]);
        assert_eq!(ports(&nodes(&all[..3]).usable(0, PubSub::Sharded)), [1]);
    }

    #[test]
    fn a_node_is_used_at_the_address_where_it_answered() {
        let mut known = Nodes::default();
        let at = |number| ("proxy".to_owned(), 7_000 + number);
        for number in [1, 2, 3] {
            known.put(at(number), Ok(answer(number, true, SPLIT)));
        }
        // Reached under another address, too.
        known.put(place(1), Ok(answer(1, true, SPLIT)));
        assert_eq!(known.owner(SLOT).unwrap().at, at(3));
        assert_eq!(known.translated(&place(2)), at(2));
        assert_eq!(known.translated(&place(99)), place(99));
        assert_eq!(known.usable(SLOT, PubSub::Classic).len(), 3);
        let named: Vec<_> = known.named().map(|node| node.at.1).collect();
        assert!([11, 12, 13].iter().all(|port| named.contains(port)));
        assert!(!named.contains(&2));
        assert_eq!(known.named_of(SLOT), [place(13)]);
    }

    #[test]
    fn nodes_that_cannot_be_used_are_left_out_with_the_reason() {
        let mut known = nodes(&[(1, true, SPLIT), (11, true, SPLIT), (12, false, SPLIT)]);
        known.put(place(13), none(false));
        // It announces an address that cannot be reached, and answers at another one.
        known.put(place(3), none(false));
        known.put(("proxy".to_owned(), 7_003), Ok(answer(3, true, SPLIT)));
        let expected = [
            "10.0.0.1:12: the cluster is down",
            "10.0.0.1:13: connection refused",
        ];
        assert_eq!(known.left_out(), expected);
        // While all report that it is down, none of them is cut off.
        assert!(
            nodes(&[(1, false, SPLIT), (2, false, SPLIT)])
                .left_out()
                .is_empty()
        );
    }

    #[test]
    fn a_node_is_cut_off_only_if_another_reports_that_the_cluster_is_up() {
        for (answers, is_cut_off) in [
            (&[(1, false, SPLIT), (2, true, SPLIT)][..], true),
            (&[(1, false, SPLIT), (2, false, SPLIT)], false),
            (&[(1, false, SPLIT)], false),
            (&[(1, true, SPLIT), (2, false, SPLIT)], false),
            (&[(2, true, SPLIT)], false),
        ] {
            let nodes = nodes(answers);
            assert_eq!(nodes.is_cut_off("node-1"), is_cut_off, "{answers:?}");
        }
    }

    #[test]
    fn a_node_that_the_others_do_not_name_is_cut_off() {
        for (answers, is_cut_off) in [
            (
                &[
                    (13, true, SPLIT),
                    (1, true, &SPLIT[..2]),
                    (2, true, &SPLIT[..2]),
                ][..],
                true,
            ),
            // Any of two may be the one that is forgotten.
            (&[(13, true, SPLIT), (1, true, &SPLIT[..2])], false),
            (
                &[(13, true, SPLIT), (1, true, &SPLIT[..2]), (2, false, SPLIT)],
                false,
            ),
            (
                &[(13, true, SPLIT), (1, true, SPLIT), (2, true, &SPLIT[..2])],
                false,
            ),
            // Without slots, it does not name itself either.
            (
                &[(9, true, SPLIT), (1, true, SPLIT), (2, true, SPLIT)],
                false,
            ),
        ] {
            let nodes = nodes(answers);
            let port = answers[0].0;
            assert_eq!(nodes.is_cut_off(&node(port).id), is_cut_off, "{answers:?}");
            let usable = ports(&nodes.usable(SLOT, PubSub::Classic));
            assert_eq!(!usable.contains(&port), is_cut_off, "{answers:?}");
            let left_out = nodes.left_out().join(" ");
            assert_eq!(left_out.contains("do not name it"), is_cut_off);
        }
    }

    #[test]
    fn slots_without_a_node_are_named() {
        let down = nodes(&[(1, false, &[(1, 5_460, &[1]), (6_000, 16_382, &[2])])]);
        let text = down.check_slots(SLOT).unwrap_err().to_string();
        let expected = "the cluster is down: no node has the slots 0, 5461-5999, 16383 \
                        (10.0.0.1:1: the cluster is down)";
        assert_eq!(text, expected);
        assert!(nodes(&[(1, true, SPLIT)]).check_slots(SLOT).is_ok());
        let covered = nodes(&[(1, false, SPLIT)]).check_slots(SLOT).unwrap_err();
        assert!(covered.to_string().contains("a majority"), "{covered}");
    }

    #[test]
    fn connecting_fails_for_good_when_all_reachable_nodes_reject() {
        let mut known = Nodes::default();
        known.put(place(1), none(false));
        assert!(!known.why_none().is_final());
        known.put(place(2), none(true));
        assert!(known.why_none().is_final());
        known.put(place(3), Ok(answer(3, true, SPLIT)));
        assert!(!known.why_none().is_final());
    }
}
