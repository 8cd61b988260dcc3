//! The known members. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use tidings_codec::NodeId;
use tokio::time::Instant;

use crate::keyspace::member_list::renewal_gaps::RECONNECT_TIME;
use crate::members::member::Member;
use crate::members::watch::{LeaveReason, MemberEvent};

/// The known members. Some may be missing in Redis's member list.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    known: BTreeMap<NodeId, Known>,
}

#[derive(Debug)]
struct Known {
    member: Member,
    /// Since when it is missing in the member list, without a known reason.
    missing_since: Option<Instant>,
}

impl Roster {
    pub(crate) fn contains(&self, id: NodeId) -> bool {
        self.known.contains_key(&id)
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&Member> {
        self.known.get(&id).map(|known| &known.member)
    }

    /// Returns the members, including missing ones whose time is not over.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.known.values().map(|known| &known.member)
    }

    /// Applies the whole member list. A missing member may only be reconnecting, as after a restart
    /// of Redis: it is removed after its lease and the time to reconnect.
    pub(crate) fn apply_list(&mut self, list: Vec<Member>, now: Instant) -> Vec<MemberEvent> {
        let mut missing: BTreeSet<_> = self.known.keys().copied().collect();
        let mut events = Vec::new();
        for member in list {
            missing.remove(&member.id);
            events.extend(self.add(member));
        }
        events.extend(
            missing
                .into_iter()
                .filter_map(|id| self.mark_missing(id, now)),
        );
        events
    }

    /// Applies the entry of one member after a change notification; `why` is the reason if it left.
    pub(crate) fn apply_one(
        &mut self,
        id: NodeId,
        member: Option<Member>,
        why: Option<LeaveReason>,
        now: Instant,
    ) -> Option<MemberEvent> {
        match (member, why) {
            (Some(member), _) => self.add(member),
            (None, Some(why)) => self.remove(id, why),
            (None, None) => self.mark_missing(id, now),
        }
    }

    /// Redis is unreachable or rejects writes, so no member can renew: restarts the time of missing
    /// members.
    pub(crate) fn reset_timers(&mut self) {
        self.known
            .values_mut()
            .for_each(|known| known.missing_since = None);
    }

    /// Returns when the next missing member will be removed.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.known.values().filter_map(Known::expires_at).min()
    }

    fn add(&mut self, member: Member) -> Option<MemberEvent> {
        if let Some(known) = self.known.get_mut(&member.id) {
            known.missing_since = None;
            return None;
        }
        let known = Known {
            member: member.clone(),
            missing_since: None,
        };
        self.known.insert(member.id, known);
        Some(MemberEvent::Joined(member))
    }

    fn mark_missing(&mut self, id: NodeId, now: Instant) -> Option<MemberEvent> {
        let known = self.known.get_mut(&id)?;
        known.missing_since.get_or_insert(now);
        if known.expires_at()? > now {
            return None;
        }
        self.remove(id, LeaveReason::Vanished)
    }

    fn remove(&mut self, id: NodeId, why: LeaveReason) -> Option<MemberEvent> {
        let member = self.known.remove(&id)?.member;
        Some(MemberEvent::Left { member, why })
    }
}

impl Known {
    fn expires_at(&self) -> Option<Instant> {
        self.missing_since?
            .checked_add(self.member.lease.saturating_add(RECONNECT_TIME))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::members::fixtures::{LEASE, member};

    fn roster(now: Instant) -> Roster {
        let mut roster = Roster::default();
        let joined = roster.apply_list(vec![member(1), member(2)], now);
        assert_eq!(joined, [1, 2].map(|id| MemberEvent::Joined(member(id))));
        roster
    }

    fn left(id: u128, why: LeaveReason) -> MemberEvent {
        let member = member(id);
        MemberEvent::Left { member, why }
    }

    #[tokio::test]
    async fn a_missing_member_is_removed_only_after_its_lease() {
        let began = Instant::now();
        let mut roster = roster(began);
        assert_eq!(roster.apply_list(vec![member(1)], began), []);
        assert!(roster.contains(NodeId::new(2)));
        let expiry = began + LEASE + RECONNECT_TIME;
        assert_eq!(roster.next_expiry(), Some(expiry));
        let almost = expiry.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(roster.apply_list(vec![member(1)], almost), []);
        let events = roster.apply_list(vec![member(1)], expiry);
        assert_eq!(events, [left(2, LeaveReason::Vanished)]);
        assert_eq!(roster.next_expiry(), None);
    }

    #[tokio::test]
    async fn a_member_that_comes_back_in_time_causes_no_event() {
        let began = Instant::now();
        let mut roster = roster(began);
        assert_eq!(roster.apply_list(Vec::new(), began), []);
        let later = began + LEASE;
        assert_eq!(
            roster.apply_one(NodeId::new(1), Some(member(1)), None, later),
            None
        );
        assert_eq!(roster.apply_list(vec![member(1), member(2)], later), []);
        assert_eq!(roster.next_expiry(), None);
    }

    #[tokio::test]
    async fn the_time_of_missing_members_restarts_after_an_outage() {
        let began = Instant::now();
        let mut roster = roster(began);
        roster.apply_list(Vec::new(), began);
        roster.reset_timers();
        let later = began + 2 * LEASE;
        assert_eq!(roster.apply_list(Vec::new(), later), []);
        assert_eq!(roster.next_expiry(), Some(later + LEASE + RECONNECT_TIME));
    }

    #[tokio::test]
    async fn a_member_that_leaves_is_removed_at_once_and_can_join_again() {
        let now = Instant::now();
        let mut roster = roster(now);
        let (id, why) = (NodeId::new(1), LeaveReason::ShutDown);
        assert_eq!(
            roster.apply_one(id, None, Some(why), now),
            Some(left(1, why))
        );
        assert_eq!(roster.apply_one(id, None, Some(why), now), None);
        let joined = roster.apply_one(id, Some(member(1)), None, now);
        assert_eq!(joined, Some(MemberEvent::Joined(member(1))));
    }
}
