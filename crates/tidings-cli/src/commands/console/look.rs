//! A look at the fleet: all members and what they say about themselves, once for all viewers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tidings::{Bus, Connection, Member, NodeId, report};
use tokio::sync::Mutex;

use super::contracts::Announced;
use super::hub::Hub;
use super::incidents::Incidents;
use super::limits::SECOND;
use crate::inspect::{Inspected, Outcome, inspect};
use crate::time::milliseconds_of;

/// The number of incidents in a look.
const PROBLEMS: usize = 10;

/// Looks for all viewers.
pub(super) struct Looker {
    bus: Bus,
    patience: Duration,
    /// Locked while it asks, so that others wait for the same answer.
    memory: Mutex<Memory>,
}

/// The results of the look before, for comparison.
#[derive(Default)]
struct Memory {
    last: Option<(Instant, Arc<str>)>,
    members: Vec<Member>,
    /// The last inspection of each member.
    inspected: Vec<Inspected>,
    /// The contracts that they announced.
    contracts: HashMap<NodeId, Announced>,
    /// The members that do not answer, and since when.
    silent: HashMap<NodeId, u64>,
    /// The events that each member had received in its inspection before.
    received: HashMap<NodeId, Received>,
    incidents: Incidents,
    names: HashMap<NodeId, String>,
}

/// The events that a member had received.
#[derive(Clone, Copy)]
struct Received {
    /// The time of its inspection, by its own clock.
    at: SystemTime,
    events: u64,
    per_second: Option<u64>,
}

impl Looker {
    pub(super) fn new(bus: Bus, patience: Duration) -> Self {
        Self {
            bus,
            patience,
            memory: Mutex::default(),
        }
    }

    /// Returns a look that is not older than a second, as JSON.
    pub(super) async fn look(&self, hub: &Hub) -> Arc<str> {
        let mut memory = self.memory.lock().await;
        // The timer of the looks must not be earlier than this.
        let fresh = SECOND.mul_f32(0.9);
        if let Some((_, look)) = memory.last.as_ref().filter(|it| it.0.elapsed() < fresh) {
            return Arc::clone(look);
        }
        let began = Instant::now();
        let look: Arc<str> = self.fresh(&mut memory, hub).await.to_string().into();
        memory.last = Some((began, Arc::clone(&look)));
        look
    }

    /// Returns the incidents of the last hour.
    pub(super) async fn incidents(&self, hub: &Hub) -> Value {
        self.look(hub).await;
        let memory = self.memory.lock().await;
        memory.incidents.all(&memory.names)
    }

    /// Returns the contract that each member announces. For one that does not respond, the last known hash
    /// is used: it cannot change within a process.
    pub(super) async fn announced(&self, hub: &Hub) -> Vec<Announced> {
        self.look(hub).await;
        let mut memory = self.memory.lock().await;
        let before = std::mem::take(&mut memory.contracts);
        let announced = memory.inspected.iter();
        let announced = announced.map(|it| Announced::by(it, before.get(&it.member.id)));
        let announced: Vec<_> = announced.collect();
        memory.contracts = announced.iter().filter_map(Announced::known).collect();
        announced
    }

    async fn fresh(&self, memory: &mut Memory, hub: &Hub) -> Value {
        let listed = self.bus.members().await;
        let error = listed.as_ref().err().map(|why| report(why).to_string());
        if let Ok(members) = listed {
            memory.members = members;
        }
        let members = inspect(&self.bus, memory.members.clone(), self.patience).await;
        memory.remember(&members.members);
        memory.count(&members.members);
        hub.name_members(memory.names.clone());
        let described = members.members.iter().map(|it| memory.describe(it));
        let described: Vec<_> = described.collect();
        let totals = memory.totals(&members.members);
        memory.inspected = members.members;
        json!({
            "at": milliseconds_of(SystemTime::now()),
            "health": self.bus.inspection().health,
            "problem": self.problem(),
            "members_error": error,
            "members": described,
            "totals": totals,
            "rates": hub.rates(),
            "problems": memory.incidents.last(PROBLEMS, &memory.names),
        })
    }

    /// Returns why the console itself is not connected.
    fn problem(&self) -> Option<String> {
        match self.bus.health().connection {
            Connection::Disconnected { why, .. } => Some(why),
            _ => None,
        }
    }
}

impl Received {
    fn after(before: Option<&Self>, at: SystemTime, events: u64) -> Self {
        let per_second = before.and_then(|before| {
            // A member answers with the same inspection for a second.
            if before.at == at {
                return before.per_second;
            }
            let elapsed = at.duration_since(before.at).ok()?.as_millis().max(1);
            let more = events.saturating_sub(before.events);
            u64::try_from(u128::from(more) * 1_000 / elapsed).ok()
        });
        Self {
            at,
            events,
            per_second,
        }
    }
}

impl Memory {
    /// Takes what the members told.
    fn remember(&mut self, members: &[Inspected]) {
        let now = milliseconds_of(SystemTime::now());
        let is_silent = |it: &&Inspected| matches!(it.outcome, Outcome::Silent(_));
        let silent = members.iter().filter(is_silent).map(|it| it.member.id);
        let since = |node| (node, self.silent.get(&node).copied().unwrap_or(now));
        self.silent = silent.map(since).collect();
        let names = members
            .iter()
            .map(|it| (it.member.id, it.member.name.clone()));
        self.names = names.collect();
        for inspected in members {
            if let Some(inspection) = inspected.inspection() {
                self.incidents.add(&inspected.member, inspection);
            }
        }
        self.incidents.prune(&self.members);
    }

    fn describe(&self, inspected: &Inspected) -> Value {
        let id = &inspected.member.id;
        let mut value = inspected.json(true).unwrap_or_default();
        value["silent_since"] = json!(self.silent.get(id));
        let received = self.received.get(id);
        value["received_rate"] = json!(received.and_then(|it| it.per_second));
        value
    }

    /// Counts the events per second of each member since its inspection before.
    fn count(&mut self, members: &[Inspected]) {
        let counts = members.iter().filter_map(|it| {
            let (at, events) = (it.inspection()?.taken, it.inspection()?.health.received);
            let before = self.received.get(&it.member.id);
            Some((it.member.id, Received::after(before, at, events)))
        });
        self.received = counts.collect();
    }

    fn totals(&self, members: &[Inspected]) -> Value {
        let with = |receives| {
            members
                .iter()
                .filter(|it| it.receives() == receives)
                .count()
        };
        let health = || {
            members
                .iter()
                .filter_map(|it| Some(&it.inspection()?.health))
        };
        let (missed, failures) = self.incidents.totals();
        json!({
            "members": members.len(),
            "receive": with(Some(true)),
            "not_receiving": with(Some(false)),
            "unknown": with(None),
            "missed": health().map(|it| it.missed).fold(0, u64::saturating_add),
            "missed_hour": missed,
            "failures": health().map(|it| it.failures).fold(0, u64::saturating_add),
            "failures_hour": failures,
            "dropped": health().map(|it| it.dropped).fold(0, u64::saturating_add),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_a_member_stays_until_its_next_inspection() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let first = Received::after(None, at(1), 100);
        assert_eq!(first.per_second, None);
        let second = Received::after(Some(&first), at(3), 300);
        assert_eq!(second.per_second, Some(100));
        let same = Received::after(Some(&second), at(3), 300);
        assert_eq!(same.per_second, Some(100));
        // The clock went back, or the process began again.
        assert_eq!(Received::after(Some(&same), at(2), 400).per_second, None);
        assert_eq!(Received::after(Some(&same), at(4), 0).per_second, Some(0));
    }
}
