//! A stream of the changes among the members.

use std::sync::Arc;

use futures_util::stream::poll_fn;
use tidings_codec::NodeId;

use crate::members::member::Member;
use crate::task::mailbox::Mailbox;
use crate::task::watch::Watch;

/// A change among the members.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberEvent {
    /// The member joined, was a member before the stream began, or came back.
    Joined(Member),
    /// The member left.
    #[non_exhaustive]
    Left {
        /// Its last description.
        member: Member,
        /// The reason.
        why: LeaveReason,
    },
}

/// The reason for which a member left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaveReason {
    /// It was shut down or dropped, and announced that.
    ShutDown,
    /// It did not renew its lease: it crashed, hangs, or is disconnected. A member whose
    /// announcement was lost counts as vanished, too.
    Vanished,
}

/// A [`Watch`] of the present members, each as [`MemberEvent::Joined`], and then of each change,
/// from [`Bus::watch_members`](crate::Bus::watch_members).
///
/// A slow reader gets the difference: a member that joined and left before it was read is not
/// reported. So at most two events wait for each member.
pub type MemberWatch = Watch<MemberEvent>;

pub(super) fn watch_waiting(waiting: Arc<Waiting>) -> MemberWatch {
    Watch::new(poll_fn(move |cx| waiting.events.poll_next(cx)))
}

impl MemberEvent {
    fn id(&self) -> NodeId {
        match self {
            Self::Joined(member) | Self::Left { member, .. } => member.id,
        }
    }
}

/// The events that one reader has not read yet.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    events: Mailbox<MemberEvent>,
    /// True if only the first departure of each member is reported.
    of_departures: bool,
}

impl Waiting {
    pub(super) fn new(events: impl Iterator<Item = MemberEvent>) -> Self {
        let waiting = Self::default();
        waiting.events.lock().waiting.extend(events);
        waiting
    }

    pub(super) fn of_departures() -> Self {
        Self {
            of_departures: true,
            ..Self::default()
        }
    }

    /// Adds an event. A departure removes the member's unread `Joined`.
    pub(super) fn push(&self, event: MemberEvent) {
        let mut mailbox = self.events.lock();
        let waiting = &mut mailbox.waiting;
        let last = waiting.iter().rposition(|one| one.id() == event.id());
        let is_known = last.is_some() || matches!(event, MemberEvent::Joined(_));
        if self.of_departures && is_known {
            return;
        }
        let unread = last.filter(|at| matches!(waiting[*at], MemberEvent::Joined(_)));
        match (unread, &event) {
            (Some(joined), MemberEvent::Left { .. }) => {
                waiting.remove(joined);
            }
            _ => waiting.push_back(event),
        }
        drop(mailbox);
        self.events.wake();
    }

    /// Ends the stream after the events that wait.
    pub(super) fn close(&self) {
        self.events.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::fixtures::member;

    fn left(id: u128) -> MemberEvent {
        let why = LeaveReason::ShutDown;
        let member = member(id);
        MemberEvent::Left { member, why }
    }

    fn joined(id: u128) -> MemberEvent {
        MemberEvent::Joined(member(id))
    }

    #[tokio::test]
    async fn a_departure_is_reported_although_the_joining_was_not_read() {
        let waiting = Arc::new(Waiting::of_departures());
        for event in [joined(1), left(1), joined(1), left(1), joined(2)] {
            waiting.push(event);
        }
        waiting.close();

        let mut events = watch_waiting(waiting);
        assert_eq!(events.next().await, Some(left(1)));
        assert_eq!(events.next().await, None);
    }

    #[tokio::test]
    async fn a_slow_reader_gets_the_difference() {
        let waiting = Arc::new(Waiting::new([joined(1)].into_iter()));
        for event in [joined(2), left(1), left(3), joined(3), left(3), joined(3)] {
            waiting.push(event);
        }
        waiting.close();

        let mut events = watch_waiting(waiting);
        for expected in [joined(2), left(3), joined(3)] {
            assert_eq!(events.next().await, Some(expected));
        }
        assert_eq!(events.next().await, None);
    }
}
