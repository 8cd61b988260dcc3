//! The gaps and failures of all members in the last hour.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tidings::{GapInspection, Inspection, Member, NodeId};

use crate::time::milliseconds_of;

/// The time for which incidents are remembered.
const AGE: Duration = Duration::from_hours(1);

/// The maximum number of incidents that are remembered.
const MAX: usize = 2_000;

/// The number of gaps that a member remembers.
const REMEMBERED: usize = 16;

#[derive(Default)]
pub(super) struct Incidents {
    /// In the order of time.
    known: BTreeMap<Key, Incident>,
    /// The last gap of each member, and the number that it remembered.
    last_gaps: HashMap<NodeId, (Key, usize)>,
    /// Incidents up to this time were removed because there were too many.
    floor: u64,
    dropped: u64,
}

/// The time, the member and the text of an incident. A member tells each several times.
type Key = (u64, NodeId, String);

struct Incident {
    node_name: String,
    /// The missed events; `None` for a failure.
    gap: Option<(Option<NodeId>, Option<u64>)>,
}

impl Incidents {
    /// Adds what a member tells.
    pub(super) fn add(&mut self, member: &Member, inspection: &Inspection) {
        self.remove_extended(member.id, &inspection.gaps);
        for gap in &inspection.gaps {
            let key = key_of(member.id, gap);
            self.insert(key, member, Some((gap.sender, gap.missed)));
        }
        for failure in &inspection.failures {
            let key = (milliseconds_of(failure.at), member.id, failure.text.clone());
            self.insert(key, member, None);
        }
        if let Some(gap) = inspection.gaps.last() {
            let last = (key_of(member.id, gap), inspection.gaps.len());
            self.last_gaps.insert(member.id, last);
        }
    }

    /// Removes the last gap of a member if the member has added further events to it.
    fn remove_extended(&mut self, member: NodeId, gaps: &[GapInspection]) {
        let Some((last, count)) = self.last_gaps.get(&member) else {
            return;
        };
        let is_there = gaps.iter().any(|gap| key_of(member, gap) == *last);
        if !is_there && gaps.len() == *count && *count < REMEMBERED {
            self.known.remove(last);
        }
    }

    fn insert(&mut self, key: Key, member: &Member, gap: Option<(Option<NodeId>, Option<u64>)>) {
        if key.0 <= self.floor || self.known.contains_key(&key) {
            return;
        }
        let node_name = member.name.clone();
        self.known.insert(key, Incident { node_name, gap });
        if self.known.len() > MAX
            && let Some(((at, ..), _)) = self.known.pop_first()
        {
            self.floor = at;
            self.dropped += 1;
        }
    }

    /// Forgets what is old, and the members that have gone.
    pub(super) fn prune(&mut self, members: &[Member]) {
        let oldest = oldest();
        while self
            .known
            .first_key_value()
            .is_some_and(|it| it.0.0 < oldest)
        {
            self.known.pop_first();
        }
        self.last_gaps
            .retain(|node, _| members.iter().any(|member| member.id == *node));
    }

    /// Returns the missed events and the failures.
    pub(super) fn totals(&self) -> (u64, usize) {
        let missed = self.known.values().filter_map(|it| it.gap?.1);
        let failures = self.known.values().filter(|it| it.gap.is_none());
        (missed.fold(0, u64::saturating_add), failures.count())
    }

    /// Returns the last incidents, the newest first.
    pub(super) fn last(&self, count: usize, names: &HashMap<NodeId, String>) -> Vec<Value> {
        let last = self.known.iter().rev().take(count);
        last.map(|(key, incident)| described(key, incident, names))
            .collect()
    }

    pub(super) fn all(&self, names: &HashMap<NodeId, String>) -> Value {
        json!({
            "since": oldest(),
            "incidents": self.last(MAX, names),
            "dropped": self.dropped,
        })
    }
}

fn key_of(member: NodeId, gap: &GapInspection) -> Key {
    (milliseconds_of(gap.at), member, gap.text.clone())
}

fn oldest() -> u64 {
    milliseconds_of(SystemTime::now()).saturating_sub(AGE.as_secs() * 1_000)
}

fn described(key: &Key, incident: &Incident, names: &HashMap<NodeId, String>) -> Value {
    let (at, node, text) = key;
    let kind = if incident.gap.is_some() {
        "gap"
    } else {
        "failure"
    };
    let mut value = json!({
        "kind": kind,
        "at": at,
        "node": node,
        "node_name": incident.node_name,
        "text": text,
    });
    if let Some((sender, missed)) = incident.gap {
        value["sender"] = json!(sender);
        value["sender_name"] = json!(sender.and_then(|sender| names.get(&sender)));
        value["missed"] = json!(missed);
    }
    value
}
