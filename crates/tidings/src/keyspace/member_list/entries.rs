//! The roll of a namespace in memory, as the scripts keep it in Redis. No I/O.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;
use tidings_codec::NodeId;
use tokio::time::Instant;

use crate::keyspace::member_list::silences::{RETURN, Silences};
use crate::keyspace::member_list::{AT_ONCE, Listed, Renewal, Renewed, milliseconds};

/// The roll of a namespace, in memory.
#[derive(Debug)]
pub(crate) struct Entries {
    /// A moment, and the time since 1970 then.
    clock: (Instant, Duration),
    members: BTreeMap<NodeId, Entry>,
    change: u64,
    last: Option<Instant>,
    silences: Silences,
    /// When all is forgotten, if nobody renews anything.
    retained_until: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    over: Instant,
    lease: Duration,
    description: String,
}

/// What a change brought, and its announcements.
type Change<T> = (T, Vec<Vec<u8>>);

impl Default for Entries {
    fn default() -> Self {
        let since_1970 = UNIX_EPOCH.elapsed().unwrap_or_default();
        Self {
            clock: (Instant::now(), since_1970),
            members: BTreeMap::new(),
            change: milliseconds(since_1970),
            last: None,
            silences: Silences::default(),
            retained_until: None,
        }
    }
}

impl Entries {
    pub(super) fn renew(&mut self, renewal: &Renewal) -> Change<Renewed> {
        self.forget();
        let is_joining = !self.members.contains_key(&renewal.id);
        let mut announcements = Vec::from_iter(self.join_or_renew(renewal));
        let over = if is_joining {
            Vec::new()
        } else {
            self.over(renewal.lease)
        };
        let has_more = over.len() == AT_ONCE;
        let removed = over.into_iter().filter_map(|id| self.remove(id, "expired"));
        announcements.extend(removed);
        let renewed = Renewed {
            now: self.now(),
            change: self.change,
            has_more,
        };
        (renewed, announcements)
    }

    /// As keys go when their time is up.
    fn forget(&mut self) {
        let is_over = self
            .retained_until
            .is_some_and(|until| Instant::now() >= until);
        if is_over && !self.members.is_empty() {
            self.members.clear();
            self.change += 1;
        }
    }

    fn join_or_renew(&mut self, renewal: &Renewal) -> Option<Vec<u8>> {
        let now = Instant::now();
        let over = now + renewal.lease;
        self.retained_until = self.retained_until.max(Some(over + renewal.lease + RETURN));
        if let Some(entry) = self.members.get_mut(&renewal.id) {
            entry.over = over;
            let silence = self.last.map_or(Duration::MAX, |last| now - last);
            self.silences.put(silence, now);
            self.last = Some(now);
            return None;
        }
        let started = renewal.started.unwrap_or_else(|| self.now());
        let rest = renewal.description.strip_prefix('{').unwrap_or_default();
        let description = format!(r#"{{"started":{started},{rest}"#);
        if self.members.is_empty() {
            (self.last, self.silences) = (Some(now), Silences::default());
        }
        let entry = Entry {
            over,
            lease: renewal.lease,
            description,
        };
        self.members.insert(renewal.id, entry);
        Some(self.announce(renewal.id, "joined"))
    }

    /// Whose lease is over, as far as one who renews for so long can tell.
    fn over(&self, lease: Duration) -> Vec<NodeId> {
        let now = Instant::now();
        let is_over = |entry: &Entry| {
            let is_certain = entry.lease >= lease || now >= entry.over + lease;
            now > entry.over && is_certain && !self.silences.excuse(entry.lease, lease, now)
        };
        let over = self.members.iter().filter(|(_, entry)| is_over(entry));
        over.map(|(id, _)| *id).take(AT_ONCE).collect()
    }

    pub(super) fn remove(&mut self, id: NodeId, kind: &str) -> Option<Vec<u8>> {
        self.members.remove(&id)?;
        Some(self.announce(id, kind))
    }

    fn announce(&mut self, id: NodeId, kind: &str) -> Vec<u8> {
        self.change += 1;
        let data = json!({"id": id, "kind": kind, "change": self.change});
        format!(r#"{{"event":"tidings.member","data":{data}}}"#).into_bytes()
    }

    pub(super) fn list(&self) -> Listed {
        let now = Instant::now();
        let silence = self.last.map_or(Duration::ZERO, |last| now - last);
        let is_there = |entry: &Entry| now <= entry.over || silence <= entry.lease + RETURN;
        let members = self.members.iter().filter(|(_, entry)| is_there(entry));
        Listed {
            change: self.change,
            members: members
                .map(|(id, entry)| (*id, entry.description.clone()))
                .collect(),
        }
    }

    pub(super) fn description(&self, id: NodeId) -> Option<String> {
        Some(self.members.get(&id)?.description.clone())
    }

    fn now(&self) -> u64 {
        let (began, since_1970) = self.clock;
        milliseconds(since_1970 + began.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn renewal(id: u128, lease: Duration) -> Renewal {
        Renewal {
            id: NodeId::new(id),
            lease,
            description: "{}".to_owned(),
            started: None,
        }
    }

    /// Renews a lease as often as its bus would, for so long.
    async fn keep_renewing(stored: &mut Entries, id: u128, lease: Duration, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            assert_eq!(stored.join_or_renew(&renewal(id, lease)), None);
            tokio::time::advance(lease / 5).await;
        }
        stored.join_or_renew(&renewal(id, lease));
    }

    fn member_list(members: &[(u128, Duration)]) -> Entries {
        let mut stored = Entries::default();
        for (id, lease) in members {
            assert!(stored.join_or_renew(&renewal(*id, *lease)).is_some());
        }
        stored
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_renew_is_over_after_its_lease() {
        let mut stored = member_list(&[(1, LEASE), (2, LEASE)]);
        keep_renewing(&mut stored, 1, LEASE, LEASE).await;
        assert_eq!(stored.over(LEASE), []);
        keep_renewing(&mut stored, 1, LEASE, LEASE / 5).await;
        assert_eq!(stored.over(LEASE), [NodeId::new(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_silence_of_all_each_has_its_lease_and_time_to_connect() {
        let mut stored = member_list(&[(1, LEASE), (2, LEASE), (3, 2 * LEASE)]);
        tokio::time::advance(10 * LEASE).await;
        keep_renewing(&mut stored, 1, LEASE, LEASE).await;
        assert_eq!(stored.over(LEASE), []);
        keep_renewing(&mut stored, 1, LEASE, RETURN).await;
        assert_eq!(stored.over(LEASE), [NodeId::new(2)]);
        keep_renewing(&mut stored, 1, LEASE, LEASE).await;
        assert_eq!(stored.over(LEASE), [2, 3].map(NodeId::new));
    }

    #[tokio::test(start_paused = true)]
    async fn who_renews_seldom_lets_more_time_pass() {
        let mut stored = member_list(&[(1, 4 * LEASE), (2, LEASE)]);
        keep_renewing(&mut stored, 1, 4 * LEASE, 4 * LEASE).await;
        assert_eq!(stored.over(4 * LEASE), []);
        keep_renewing(&mut stored, 1, 4 * LEASE, 2 * LEASE).await;
        assert_eq!(stored.over(4 * LEASE), [NodeId::new(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn with_leases_of_different_lengths_nobody_that_is_there_is_over_after_an_outage_of_all()
    {
        let leases = [40, 10, 5, 1].map(Duration::from_secs);
        for away in (500..30_000).step_by(500).map(Duration::from_millis) {
            // Whichever connects first hides the outage from nobody.
            for first in 0..leases.len() {
                let members: Vec<_> = (1..).zip(leases).collect();
                let mut member_list = member_list(&members);
                member_list.join_or_renew(&renewal(1, leases[0]));
                tokio::time::advance(away).await;
                let mut members = members.clone();
                members.rotate_left(first);
                for (index, (id, lease)) in members.iter().enumerate() {
                    assert_eq!(member_list.join_or_renew(&renewal(*id, *lease)), None);
                    let over = member_list.over(*lease);
                    let late: Vec<_> = members[index..].iter().map(|one| one.0).collect();
                    assert_eq!(over, [], "{away:?}: {id} saw, of {late:?}");
                    tokio::time::advance(Duration::from_millis(100)).await;
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_that_are_over_some_are_left_for_the_next_time_at_once() {
        let many: Vec<_> = (2..42).map(|id| (id, LEASE)).collect();
        let mut member_list = member_list(&many);
        member_list.join_or_renew(&renewal(1, LEASE));
        keep_renewing(&mut member_list, 1, LEASE, LEASE).await;
        tokio::time::advance(LEASE / 5).await;
        let mut rounds = Vec::new();
        loop {
            let (renewed, announced) = member_list.renew(&renewal(1, LEASE));
            rounds.push(announced.len());
            if !renewed.has_more {
                break;
            }
        }
        assert_eq!(rounds, [AT_ONCE, AT_ONCE, 8]);
        assert_eq!(member_list.list().members.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_is_left_to_take_them_off_the_dead_are_not_listed_and_forgotten_later() {
        let mut member_list = member_list(&[(1, LEASE), (2, 2 * LEASE)]);
        tokio::time::advance(LEASE + RETURN).await;
        assert_eq!(member_list.list().members.len(), 2);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(member_list.list().members.len(), 1);
        let change = member_list.list().change;
        tokio::time::advance(3 * LEASE).await;
        let (renewed, announced) = member_list.renew(&renewal(3, LEASE));
        assert_eq!(announced.len(), 1);
        assert_eq!(member_list.list().members.len(), 1);
        // One more than what was announced: others find out that they have missed something.
        assert_eq!(renewed.change, change + 2);
    }
}
