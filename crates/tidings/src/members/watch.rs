//! Joins and departures as a stream.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll};

use futures_util::Stream;
use futures_util::task::AtomicWaker;
use tidings_codec::NodeId;

use crate::members::member::Member;

/// A change among the members.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberEvent {
    /// It is there: it joined, was there before the stream began, or came back.
    Joined(Member),
    /// It is gone.
    #[non_exhaustive]
    Left {
        /// As it was last.
        member: Member,
        /// How it went.
        why: LeaveReason,
    },
}

/// How a member went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaveReason {
    /// It was shut down or dropped, and said so.
    Goodbye,
    /// It did not renew its lease: it crashed, hangs, or is cut off. So counts one whose goodbye was
    /// missed, too.
    Vanished,
}

/// The members that are there, each as [`MemberEvent::Joined`], and then each change:
/// [`Bus::watch_members`](crate::Bus::watch_members).
///
/// It ends when the bus does, and does not keep it alive. For a reader that is slow only the
/// difference is kept: who joined and left again before it was read is not told. So what waits is
/// never more than two events for each member.
pub struct MemberWatch {
    waiting: Arc<Waiting>,
}

impl MemberWatch {
    pub(super) fn new(waiting: Arc<Waiting>) -> Self {
        Self { waiting }
    }

    /// The next change; `None` when there will be none.
    pub async fn next(&mut self) -> Option<MemberEvent> {
        poll_fn(|cx| self.waiting.poll_next(cx)).await
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

/// What one reader has not read yet.
#[derive(Debug)]
pub(super) struct Waiting {
    inside: Mutex<MemberWatchState>,
    reader: AtomicWaker,
    /// Whether only departures are told, each member's first.
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

    /// Adds an event; one who left takes back that it joined, where nobody has read that.
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

    /// What waits can still be read.
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
        let why = LeaveReason::Goodbye;
        let member = member(id);
        MemberEvent::Left { member, why }
    }

    fn joined(id: u128) -> MemberEvent {
        MemberEvent::Joined(member(id))
    }

    #[tokio::test]
    async fn who_waits_for_departures_is_told_of_each_although_nobody_has_read_of_the_joining() {
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
