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

/// The maximum length of a text that is remembered, in bytes. A member writes shorter ones; what another
/// program sends in its name may be as long as a frame.
const TEXT: usize = 512;

/// The number of gaps, and of failures, that a member remembers.
const REMEMBERED: usize = 16;

#[derive(Default)]
pub(super) struct Incidents {
    /// In the order of time.
    known: BTreeMap<Key, Incident>,
    /// The gaps that each member remembered when it was asked before, the newest last.
    last_gaps: HashMap<NodeId, Vec<Key>>,
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
        self.add_gaps(member.id, &member.name, &inspection.gaps);
        for failure in newest(&inspection.failures) {
            let key = (milliseconds_of(failure.at), member.id, cut(&failure.text));
            self.insert(key, &member.name, None);
        }
    }

    fn add_gaps(&mut self, member: NodeId, name: &str, gaps: &[GapInspection]) {
        let gaps = newest(gaps);
        self.remove_extended(member, gaps);
        let keys: Vec<_> = gaps.iter().map(|gap| key_of(member, gap)).collect();
        for (key, gap) in keys.iter().zip(gaps) {
            self.insert(key.clone(), name, Some((gap.sender, gap.missed)));
        }
        self.last_gaps.insert(member, keys);
    }

    /// Removes the last gap of a member if the member has added further events to it: it comes again,
    /// with another time and number.
    fn remove_extended(&mut self, member: NodeId, gaps: &[GapInspection]) {
        let before = self.last_gaps.get(&member).map(|keys| keys.split_last());
        let Some((last, older)) = before.flatten() else {
            return;
        };
        let is_there = |key: &Key| gaps.iter().any(|gap| key_of(member, gap) == *key);
        // A member forgets the oldest first.
        let is_remembered = gaps.len() < REMEMBERED || older.iter().any(is_there);
        let is_extended = !is_there(last) && (is_remembered || self.may_be(last, gaps.first()));
        if is_extended {
            self.known.remove(last);
        }
    }

    /// Returns whether a gap of the same sender, with more events, may be this one.
    fn may_be(&self, key: &Key, gap: Option<&GapInspection>) -> bool {
        let known = self.known.get(key).and_then(|incident| incident.gap);
        let both = known.zip(gap);
        both.is_some_and(|((sender, missed), gap)| sender == gap.sender && missed < gap.missed)
    }

    fn insert(&mut self, key: Key, name: &str, gap: Option<(Option<NodeId>, Option<u64>)>) {
        if key.0 <= self.floor || self.known.contains_key(&key) {
            return;
        }
        let node_name = name.to_owned();
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
    (milliseconds_of(gap.at), member, cut(&gap.text))
}

/// Returns the last of those that a member tells, which are no more than it remembers.
fn newest<T>(told: &[T]) -> &[T] {
    &told[told.len().saturating_sub(REMEMBERED)..]
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT)].to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: &str = "be51bc88be51bc88be51bc88be51bc88";

    /// A gap at this time.
    fn gap(number: u64, missed: u64) -> GapInspection {
        let at = 1_000 + number;
        let gap = json!({ "at": at, "sender": SENDER, "missed": missed, "text": format!("{missed} missed") });
        serde_json::from_value(gap).unwrap()
    }

    /// Returns the missed events of the hour after a member told these gaps, one list after the other.
    fn missed(told: &[&[GapInspection]]) -> u64 {
        let mut incidents = Incidents::default();
        for gaps in told {
            incidents.add_gaps(NodeId::new(1), "api-1", gaps);
        }
        incidents.totals().0
    }

    #[test]
    fn a_gap_that_grows_is_counted_once() {
        for older in [0, 1, REMEMBERED - 2, REMEMBERED - 1] {
            let older: Vec<_> = (0..older).map(|number| gap(number as u64, 1)).collect();
            let with = |more: &[GapInspection]| [&older[..], more].concat();
            let count = older.len() as u64;
            let first = with(&[gap(100, 3)]);
            let grown = with(&[gap(200, 5)]);
            assert_eq!(missed(&[&first, &first]), count + 3);
            assert_eq!(missed(&[&first, &grown]), count + 5);
            assert_eq!(missed(&[&first, &grown, &with(&[gap(300, 9)])]), count + 9);
            // The member has forgotten the oldest one for the newest.
            let mut and_another = with(&[gap(200, 5), gap(300, 7)]);
            let kept = and_another.len().saturating_sub(REMEMBERED);
            assert_eq!(missed(&[&first, &and_another.split_off(kept)]), count + 12);
        }
    }

    #[test]
    fn what_a_member_tells_is_bounded() {
        let long = |number: u64| {
            let text = format!("{number} {}", "ä".repeat(100_000));
            json!({ "at": 1_000 + number, "sender": null, "missed": 1, "text": text })
        };
        let told: Vec<GapInspection> = (0..1_000)
            .map(|number| serde_json::from_value(long(number)).unwrap())
            .collect();
        let mut incidents = Incidents::default();
        incidents.add_gaps(NodeId::new(1), "api-1", &told);
        assert_eq!(incidents.totals().0, REMEMBERED as u64);
        let bytes = incidents.all(&HashMap::new()).to_string().len();
        assert!(bytes < REMEMBERED * 2 * TEXT, "{bytes}");
    }

    #[test]
    fn gaps_that_a_member_has_forgotten_are_still_counted() {
        let of = |from: u64| -> Vec<_> { (from..from + 16).map(|it| gap(it, 1)).collect() };
        assert_eq!(missed(&[&of(0), &of(4)]), 20);
        assert_eq!(missed(&[&of(0), &of(16)]), 32);
        // The one before was all that the member remembered besides fifteen new ones.
        let mut grown = of(100);
        grown[0] = gap(50, 4);
        assert_eq!(missed(&[&of(0), &grown]), 34);
    }
}
