//! A stream of the changes among the members.

use std::collections::VecDeque;
use std::fmt;
use std::future::{poll_fn, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll};

use futures_util::task::AtomicWaker;
use futures_util::{Stream, StreamExt};
use tidings_codec::NodeId;

use crate::members::member::Member;

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

/// A [`Stream`] of the present members, each as [`MemberEvent::Joined`], and then of each change,
/// from [`Bus::watch_members`](crate::Bus::watch_members).
///
/// A slow reader gets the difference: a member that joined and left before it was read is not
/// reported. So at most two events wait for each member. The stream ends with the bus, and does not
/// keep it alive.
pub struct MemberWatch {
    waiting: Arc<Waiting>,
}

impl MemberWatch {
    pub(super) fn new(waiting: Arc<Waiting>) -> Self {
        Self { waiting }
    }

    /// The same as [`changed`](Self::changed).
    pub async fn next(&mut self) -> Option<MemberEvent> {
        self.changed().await
    }

    /// Waits for the next change and returns it, or `None` once the bus has ended.
    ///
    /// Cancel safe: dropping the future loses no change.
    pub async fn changed(&mut self) -> Option<MemberEvent> {
        poll_fn(|cx| self.waiting.poll_next(cx)).await
    }

    /// Waits for a change that `wanted` accepts and returns it, or `None` once the bus has ended.
    ///
    /// Cancel safe: dropping the future loses no change other than those that `wanted` rejected.
    pub async fn wait_for(
        &mut self,
        mut wanted: impl FnMut(&MemberEvent) -> bool,
    ) -> Option<MemberEvent> {
        self.filter(|change| ready(wanted(change))).next().await
    }
}

impl Stream for MemberWatch {
    type Item = MemberEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<MemberEvent>> {
        self.waiting.poll_next(cx)
    }
}

impl fmt::Debug for MemberWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberWatch").finish_non_exhaustive()
    }
}

impl MemberEvent {
    fn id(&self) -> NodeId {
        match self {
            Self::Joined(member) | Self::Left { member, .. } => member.id,
        }
    }
}

/// The events that one reader has not read yet.
#[derive(Debug)]
pub(super) struct Waiting {
    inside: Mutex<MemberWatchState>,
    reader: AtomicWaker,
    /// Whether only the first departure of each member is reported.
    of_departures: bool,
}

#[derive(Debug)]
struct MemberWatchState {
    events: VecDeque<MemberEvent>,
    is_over: bool,
}

impl Waiting {
    pub(super) fn new(events: VecDeque<MemberEvent>, is_over: bool) -> Self {
        Self {
            inside: Mutex::new(MemberWatchState { events, is_over }),
            reader: AtomicWaker::new(),
            of_departures: false,
        }
    }

    pub(super) fn of_departures(is_over: bool) -> Self {
        Self {
            of_departures: true,
            ..Self::new(VecDeque::new(), is_over)
        }
    }

    /// Adds an event. A departure removes the member's unread `Joined`.
    pub(super) fn push(&self, event: MemberEvent) {
        let mut inside = self.lock();
        let last = inside.events.iter().rposition(|one| one.id() == event.id());
        let is_known = last.is_some() || matches!(event, MemberEvent::Joined(_));
        if self.of_departures && is_known {
            return;
        }
        let unread = last.filter(|at| matches!(inside.events[*at], MemberEvent::Joined(_)));
        match (unread, &event) {
            (Some(joined), MemberEvent::Left { .. }) => {
                inside.events.remove(joined);
            }
            _ => inside.events.push_back(event),
        }
        drop(inside);
        self.reader.wake();
    }

    /// Ends the stream after the events that wait.
    pub(super) fn close(&self) {
        self.lock().is_over = true;
        self.reader.wake();
    }

    fn poll_next(&self, cx: &task::Context<'_>) -> Poll<Option<MemberEvent>> {
        self.reader.register(cx.waker());
        let mut inside = self.lock();
        match inside.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if inside.is_over => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn lock(&self) -> MutexGuard<'_, MemberWatchState> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
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
        let waiting = Arc::new(Waiting::of_departures(false));
        for event in [joined(1), left(1), joined(1), left(1), joined(2)] {
            waiting.push(event);
        }
        waiting.close();

        let mut events = MemberWatch::new(waiting);
        assert_eq!(events.next().await, Some(left(1)));
        assert_eq!(events.next().await, None);
    }

    #[tokio::test]
    async fn a_slow_reader_gets_the_difference() {
        let waiting = Arc::new(Waiting::new([joined(1)].into(), false));
        for event in [joined(2), left(1), left(3), joined(3), left(3), joined(3)] {
            waiting.push(event);
        }
        waiting.close();

        let mut events = MemberWatch::new(waiting);
        for expected in [joined(2), left(3), joined(3)] {
            assert_eq!(events.next().await, Some(expected));
        }
        assert_eq!(events.next().await, None);
    }
}
