//! The events that the members missed during a failover, as they report them.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use tidings::{Bus, HealthInspection, Inspection, NodeId};
use tokio::time::sleep;

/// The time for which a member sends its last answer again.
const KEPT: Duration = Duration::from_secs(1);

/// The time after a failover in which senders announce the number of their last event: the loss of
/// that event is noticed then.
const ANNOUNCED: Duration = Duration::from_secs(1);

const POLL: Duration = Duration::from_millis(300);

/// The state of each member that answers.
pub(super) struct Members {
    /// The time before the question.
    asked: Instant,
    states: HashMap<NodeId, State>,
}

/// The state of a member.
struct State {
    health: HealthInspection,
    /// By the clock of the member.
    taken: SystemTime,
}

/// The difference that a failover made.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// The members that answered before.
    pub(super) members: usize,
    /// The number of them that receive events again.
    pub(super) receiving: usize,
    /// The number of them that have not responded since.
    pub(super) unknown: usize,
    /// The events that the others have received since then, added up.
    pub(super) received: u64,
    /// The events that they have missed since then, added up.
    pub(super) missed: u64,
}

impl Members {
    pub(super) async fn inspect(bus: &Bus, limit: Duration) -> anyhow::Result<Self> {
        let mut members = Self::unknown();
        let mut responses = bus.inspect().timeout(limit).await?;
        while let Some(response) = responses.next().await {
            if let Ok(Inspection { health, taken, .. }) = response.value {
                let state = State { health, taken };
                members.states.insert(response.responder.node, state);
            }
        }
        Ok(members)
    }

    /// Members of which nothing is known.
    pub(super) fn unknown() -> Self {
        Self {
            asked: Instant::now(),
            states: HashMap::new(),
        }
    }

    /// Asks until all members from before answer with their state after now, and receive, for this time
    /// at most. Leaves out the others.
    pub(super) async fn that_receive(&self, bus: &Bus, limit: Duration) -> Self {
        let since = self.asked.elapsed() + ANNOUNCED;
        let until = Instant::now() + 2 * KEPT + ANNOUNCED + limit;
        let mut known = Self::unknown();
        loop {
            if let Ok(now) = Self::inspect(bus, limit).await {
                known.states.extend(now.states);
            }
            known.states.retain(|id, now| self.is_later(id, now, since));
            let is_there = |id| known.states.get(id).is_some_and(|it| it.health.is_ready);
            if self.states.keys().all(is_there) || Instant::now() > until {
                return known;
            }
            sleep(POLL).await;
        }
    }

    /// Returns true if a state was taken more than this time after the first question. Both times of a
    /// member are of its own clock, which need not be right. The first answer may have been kept.
    fn is_later(&self, id: &NodeId, now: &State, since: Duration) -> bool {
        let Some(before) = self.states.get(id) else {
            return false;
        };
        let between = now.taken.duration_since(before.taken);
        between.is_ok_and(|between| between > since + KEPT)
    }
}

impl Losses {
    pub(super) fn between(before: &Members, after: &Members) -> Self {
        let mut losses = Self {
            members: before.states.len(),
            ..Self::default()
        };
        for (id, before) in &before.states {
            let Some(after) = after.states.get(id) else {
                losses.unknown += 1;
                continue;
            };
            let (before, after) = (&before.health, &after.health);
            let since = |after: u64, before| after.saturating_sub(before);
            losses.receiving += usize::from(after.is_ready);
            losses.received = losses
                .received
                .saturating_add(since(after.received, before.received));
            losses.missed = losses
                .missed
                .saturating_add(since(after.missed, before.missed));
        }
        losses
    }

    pub(super) fn is_clean(&self) -> bool {
        self.receiving == self.members && self.missed == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(id: NodeId, taken: SystemTime, received: u64) -> Members {
        let mut members = Members::unknown();
        let mut health = HealthInspection::default();
        (health.is_ready, health.received) = (true, received);
        members.states.insert(id, State { health, taken });
        members
    }

    #[test]
    fn an_answer_from_before_the_end_is_not_known_yet_whatever_the_clock_says() {
        let (id, other) = (NodeId::new(1), NodeId::new(2));
        // The clock of the member is years behind.
        let taken = SystemTime::UNIX_EPOCH;
        let before = members(id, taken, u64::MAX);
        let state = |after: u64| State {
            health: HealthInspection::default(),
            taken: taken + Duration::from_millis(after),
        };
        let since = Duration::from_secs(5);
        assert!(!before.is_later(&id, &state(0), since));
        assert!(
            !before.is_later(&id, &state(5_900), since),
            "it may be kept"
        );
        assert!(before.is_later(&id, &state(6_100), since));
        assert!(!before.is_later(&other, &state(6_100), since));

        let losses = Losses::between(&before, &Members::unknown());
        assert_eq!((losses.unknown, losses.receiving), (1, 0));
        assert!(!losses.is_clean());
        let losses = Losses::between(&before, &members(id, taken, 7));
        assert_eq!((losses.unknown, losses.received), (0, 0));
        assert!(losses.is_clean());
    }
}
