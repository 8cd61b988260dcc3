//! The member list of a namespace in memory, equal to the scripts for Redis. No I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tidings_codec::NodeId;
use tokio::time::Instant;

use crate::keyspace::member_list::renewal_gaps::{RECONNECT_TIME, RenewalGaps};
use crate::keyspace::member_list::{Listed, MAX_REMOVED, Renewal, Renewed};
use crate::memory;

/// The member list of a namespace in memory.
#[derive(Debug)]
pub(crate) struct StoredMembers {
    members: BTreeMap<NodeId, StoredMember>,
    change: u64,
    last_renewal: Option<Instant>,
    gaps: RenewalGaps,
    /// The time when the list expires without a renewal.
    expires: Option<Instant>,
}

#[derive(Debug)]
struct StoredMember {
    expires: Instant,
    lease: Duration,
    description: String,
}

impl Default for StoredMembers {
    fn default() -> Self {
        Self {
            members: BTreeMap::new(),
            change: memory::now(),
            last_renewal: None,
            gaps: RenewalGaps::default(),
            expires: None,
        }
    }
}

impl StoredMembers {
    /// Returns the notifications, too.
    pub(super) fn renew(&mut self, renewal: &Renewal) -> (Renewed, Vec<Vec<u8>>) {
        let mut notifications = Vec::from_iter(self.join_or_renew(renewal));
        let is_joining = !notifications.is_empty();
        let expired = if is_joining {
            Vec::new()
        } else {
            self.expired(renewal.lease)
        };
        let has_more = expired.len() == MAX_REMOVED;
        let removed = expired
            .into_iter()
            .filter_map(|id| self.remove(id, "expired"));
        notifications.extend(removed);
        let renewed = Renewed {
            now: memory::now(),
            change: self.change,
            has_more,
            is_new: is_joining,
        };
        (renewed, notifications)
    }

    /// Removes all members once the list has expired, as Redis removes the keys.
    pub(super) fn expire_all(&mut self) {
        let is_expired = self.expires.is_some_and(|until| Instant::now() >= until);
        if is_expired && !self.members.is_empty() {
            self.members.clear();
            self.change += 1;
        }
    }

    fn join_or_renew(&mut self, renewal: &Renewal) -> Option<Vec<u8>> {
        let now = Instant::now();
        let expires = now + renewal.lease;
        self.expires = self
            .expires
            .max(Some(expires + renewal.lease + RECONNECT_TIME));
        if let Some(member) = self.members.get_mut(&renewal.id) {
            member.expires = expires;
            let gap = self.last_renewal.map_or(Duration::MAX, |last| now - last);
            self.gaps.put(gap, now);
            self.last_renewal = Some(now);
            return None;
        }
        let started = renewal.started.unwrap_or_else(memory::now);
        let rest = renewal.description.strip_prefix('{').unwrap_or_default();
        let description = format!(r#"{{"started":{started},{rest}"#);
        if self.members.is_empty() {
            (self.last_renewal, self.gaps) = (Some(now), RenewalGaps::default());
        }
        let member = StoredMember {
            expires,
            lease: renewal.lease,
            description,
        };
        self.members.insert(renewal.id, member);
        Some(self.notify(renewal.id, "joined"))
    }

    /// Returns the expired members, as far as a member with this lease can tell.
    fn expired(&self, lease: Duration) -> Vec<NodeId> {
        let now = Instant::now();
        let is_expired = |member: &StoredMember| {
            let is_certain = member.lease >= lease || now >= member.expires + lease;
            now > member.expires && is_certain && !self.gaps.excuses(member.lease, lease, now)
        };
        let expired = self.members.iter().filter(|(_, member)| is_expired(member));
        expired.map(|(id, _)| *id).take(MAX_REMOVED).collect()
    }

    pub(super) fn remove(&mut self, id: NodeId, kind: &str) -> Option<Vec<u8>> {
        self.members.remove(&id)?;
        Some(self.notify(id, kind))
    }

    fn notify(&mut self, id: NodeId, kind: &str) -> Vec<u8> {
        self.change += 1;
        let data = json!({"id": id, "kind": kind, "change": self.change});
        format!(r#"{{"event":"tidings.member","data":{data}}}"#).into_bytes()
    }

    pub(super) fn list(&self) -> Listed {
        let now = Instant::now();
        let gap = self.last_renewal.map_or(Duration::ZERO, |last| now - last);
        let is_present =
            |member: &StoredMember| now <= member.expires || gap <= member.lease + RECONNECT_TIME;
        let members = self.members.iter().filter(|(_, member)| is_present(member));
        Listed {
            change: self.change,
            members: members
                .map(|(id, member)| (*id, member.description.clone()))
                .collect(),
        }
    }

    pub(super) fn description(&self, id: NodeId) -> Option<String> {
        Some(self.members.get(&id)?.description.clone())
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

    /// Renews a lease as often as its bus would, for this time.
    async fn keep_renewing(stored: &mut StoredMembers, id: u128, lease: Duration, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            assert_eq!(stored.join_or_renew(&renewal(id, lease)), None);
            tokio::time::advance(lease / 5).await;
        }
        stored.join_or_renew(&renewal(id, lease));
    }

    fn member_list(members: &[(u128, Duration)]) -> StoredMembers {
        let mut stored = StoredMembers::default();
        for (id, lease) in members {
            assert!(stored.join_or_renew(&renewal(*id, *lease)).is_some());
        }
        stored
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_does_not_renew_expires_after_its_lease() {
        let mut stored = member_list(&[(1, LEASE), (2, LEASE)]);
        keep_renewing(&mut stored, 1, LEASE, LEASE).await;
        assert_eq!(stored.expired(LEASE), []);
        keep_renewing(&mut stored, 1, LEASE, LEASE / 5).await;
        assert_eq!(stored.expired(LEASE), [NodeId::new(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_outage_of_all_each_member_has_its_lease_and_time_to_reconnect() {
        let mut stored = member_list(&[(1, LEASE), (2, LEASE), (3, 2 * LEASE)]);
        tokio::time::advance(10 * LEASE).await;
        keep_renewing(&mut stored, 1, LEASE, LEASE).await;
        assert_eq!(stored.expired(LEASE), []);
        keep_renewing(&mut stored, 1, LEASE, RECONNECT_TIME).await;
        assert_eq!(stored.expired(LEASE), [NodeId::new(2)]);
        keep_renewing(&mut stored, 1, LEASE, LEASE).await;
        assert_eq!(stored.expired(LEASE), [2, 3].map(NodeId::new));
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_with_a_long_lease_waits_longer_before_it_removes_others() {
        let mut stored = member_list(&[(1, 4 * LEASE), (2, LEASE)]);
        keep_renewing(&mut stored, 1, 4 * LEASE, 4 * LEASE).await;
        assert_eq!(stored.expired(4 * LEASE), []);
        keep_renewing(&mut stored, 1, 4 * LEASE, 2 * LEASE).await;
        assert_eq!(stored.expired(4 * LEASE), [NodeId::new(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn with_different_leases_no_member_expires_after_an_outage_of_all() {
        let leases = [40, 10, 5, 1].map(Duration::from_secs);
        for away in (500..30_000).step_by(500).map(Duration::from_millis) {
            // The outage is recognized whichever member connects first.
            for first in 0..leases.len() {
                let members: Vec<_> = (1..).zip(leases).collect();
                let mut member_list = member_list(&members);
                member_list.join_or_renew(&renewal(1, leases[0]));
                tokio::time::advance(away).await;
                let mut members = members.clone();
                members.rotate_left(first);
                for (index, (id, lease)) in members.iter().enumerate() {
                    assert_eq!(member_list.join_or_renew(&renewal(*id, *lease)), None);
                    let expired = member_list.expired(*lease);
                    let late: Vec<_> = members[index..].iter().map(|one| one.0).collect();
                    assert_eq!(expired, [], "{away:?}: {id} saw, of {late:?}");
                    tokio::time::advance(Duration::from_millis(100)).await;
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_expired_members_are_removed_in_several_renewals() {
        let many: Vec<_> = (2..42).map(|id| (id, LEASE)).collect();
        let mut member_list = member_list(&many);
        member_list.join_or_renew(&renewal(1, LEASE));
        keep_renewing(&mut member_list, 1, LEASE, LEASE).await;
        tokio::time::advance(LEASE / 5).await;
        let mut rounds = Vec::new();
        loop {
            let (renewed, notifications) = member_list.renew(&renewal(1, LEASE));
            rounds.push(notifications.len());
            if !renewed.has_more {
                break;
            }
        }
        assert_eq!(rounds, [MAX_REMOVED, MAX_REMOVED, 8]);
        assert_eq!(member_list.list().members.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn expired_members_are_not_listed_when_no_member_is_left_to_remove_them() {
        let mut member_list = member_list(&[(1, LEASE), (2, 2 * LEASE)]);
        tokio::time::advance(LEASE + RECONNECT_TIME).await;
        assert_eq!(member_list.list().members.len(), 2);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(member_list.list().members.len(), 1);
        let change = member_list.list().change;
        tokio::time::advance(3 * LEASE).await;
        member_list.expire_all();
        let (renewed, notifications) = member_list.renew(&renewal(3, LEASE));
        assert_eq!(notifications.len(), 1);
        assert_eq!(member_list.list().members.len(), 1);
        // One more than the notifications: other members detect that they missed a change.
        assert_eq!(renewed.change, change + 2);
    }
}
