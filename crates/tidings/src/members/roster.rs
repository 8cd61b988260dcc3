//! Who is there, as far as this bus knows. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use tidings_codec::NodeId;
use tokio::time::Instant;

use crate::keyspace::member_list::silences::RETURN;
use crate::members::member::Member;
use crate::members::watch::{LeaveReason, MemberEvent};

/// All members, and which of them are missed.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    known: BTreeMap<NodeId, Known>,
}

#[derive(Debug)]
struct Known {
    member: Member,
    /// Since when it is not on the roll, and nobody said why.
    missed: Option<Instant>,
}

impl Roster {
    pub(crate) fn has(&self, id: NodeId) -> bool {
        self.known.contains_key(&id)
    }

    /// All that are not gone for certain.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.known.values().map(|known| &known.member)
    }

    /// What the whole roll says. Who is missing in it may only be on its way back, as after a
    /// restart of Redis: it is gone once it is missed for so long that it must have come.
    pub(crate) fn take_list(&mut self, list: Vec<Member>, now: Instant) -> Vec<MemberEvent> {
        let mut missing: BTreeSet<_> = self.known.keys().copied().collect();
        let mut events = Vec::new();
        for member in list {
            missing.remove(&member.id);
            events.extend(self.is_there(member));
        }
        events.extend(missing.into_iter().filter_map(|id| self.miss(id, now)));
        events
    }

    /// What the roll says of one, after a notice of it: why it left, where it did.
    pub(crate) fn take_one(
        &mut self,
        id: NodeId,
        member: Option<Member>,
        why: Option<LeaveReason>,
        now: Instant,
    ) -> Option<MemberEvent> {
        match (member, why) {
            (Some(member), _) => self.is_there(member),
            (None, Some(why)) => self.gone(id, why),
            (None, None) => self.miss(id, now),
        }
    }

    /// Redis is away, so nobody can come back to the roll: the time begins anew.
    pub(crate) fn excuse_all(&mut self) {
        self.known
            .values_mut()
            .for_each(|known| known.missed = None);
    }

    /// When somebody who is missed is gone for certain.
    pub(crate) fn next_departure(&self) -> Option<Instant> {
        self.known.values().filter_map(Known::gone_at).min()
    }

    fn is_there(&mut self, member: Member) -> Option<MemberEvent> {
        if let Some(known) = self.known.get_mut(&member.id) {
            known.missed = None;
            return None;
        }
        let known = Known {
            member: member.clone(),
            missed: None,
        };
        self.known.insert(member.id, known);
        Some(MemberEvent::Joined(member))
    }

    fn miss(&mut self, id: NodeId, now: Instant) -> Option<MemberEvent> {
        let known = self.known.get_mut(&id)?;
        known.missed.get_or_insert(now);
        if known.gone_at()? > now {
            return None;
        }
        self.gone(id, LeaveReason::Vanished)
    }

    fn gone(&mut self, id: NodeId, why: LeaveReason) -> Option<MemberEvent> {
        let member = self.known.remove(&id)?.member;
        Some(MemberEvent::Left { member, why })
    }
}

impl Known {
    fn gone_at(&self) -> Option<Instant> {
        self.missed?
            .checked_add(self.member.lease.saturating_add(RETURN))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::members::fixtures::{LEASE, member};

    fn roster(now: Instant) -> Roster {
        let mut roster = Roster::default();
        let joined = roster.take_list(vec![member(1), member(2)], now);
        assert_eq!(joined, [1, 2].map(|id| MemberEvent::Joined(member(id))));
        roster
    }

    fn left(id: u128, why: LeaveReason) -> MemberEvent {
        let member = member(id);
        MemberEvent::Left { member, why }
    }

    #[tokio::test]
    async fn who_is_missing_in_a_list_is_gone_only_after_its_lease() {
        let began = Instant::now();
        let mut roster = roster(began);
        assert_eq!(roster.take_list(vec![member(1)], began), []);
        assert!(roster.has(NodeId::new(2)));
        let gone = began + LEASE + RETURN;
        assert_eq!(roster.next_departure(), Some(gone));
        let almost = gone.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(roster.take_list(vec![member(1)], almost), []);
        let events = roster.take_list(vec![member(1)], gone);
        assert_eq!(events, [left(2, LeaveReason::Vanished)]);
        assert_eq!(roster.next_departure(), None);
    }

    #[tokio::test]
    async fn who_comes_back_in_time_was_never_gone() {
        let began = Instant::now();
        let mut roster = roster(began);
        assert_eq!(roster.take_list(Vec::new(), began), []);
        let later = began + LEASE;
        assert_eq!(
            roster.take_one(NodeId::new(1), Some(member(1)), None, later),
            None
        );
        assert_eq!(roster.take_list(vec![member(1), member(2)], later), []);
        assert_eq!(roster.next_departure(), None);
    }

    #[tokio::test]
    async fn while_redis_is_away_nobody_is_late() {
        let began = Instant::now();
        let mut roster = roster(began);
        roster.take_list(Vec::new(), began);
        roster.excuse_all();
        let later = began + 2 * LEASE;
        assert_eq!(roster.take_list(Vec::new(), later), []);
        assert_eq!(roster.next_departure(), Some(later + LEASE + RETURN));
    }

    #[tokio::test]
    async fn a_goodbye_counts_at_once_and_who_comes_again_has_joined() {
        let now = Instant::now();
        let mut roster = roster(now);
        let (id, why) = (NodeId::new(1), LeaveReason::Goodbye);
        assert_eq!(
            roster.take_one(id, None, Some(why), now),
            Some(left(1, why))
        );
        assert_eq!(roster.take_one(id, None, Some(why), now), None);
        let joined = roster.take_one(id, Some(member(1)), None, now);
        assert_eq!(joined, Some(MemberEvent::Joined(member(1))));
    }
}
