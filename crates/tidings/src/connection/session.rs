//! The state of a send connection: frames in flight, and pending checks of the server.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tidings_codec::{Format, NodeId, position_frame};
use tokio::time::Instant;

use crate::connection::numbering::Numbering;
use crate::connection::pacing::{self, Pacer};
use crate::error::connect::ConnectError;
use crate::error::send_failure::SendFailure;
use crate::event::numbers::Numbers;
use crate::event::position::JournalPosition;
use crate::send::frame::FrameMeta;
use crate::send::window::{ECHO_TIMEOUT, SendWindow, Sent};
use crate::transport::{PublishError, Published, Publisher, Reply, Search, SendHalf};

/// The maximum number of frames in flight. Measured: one, two and four have the same throughput;
/// two has the lowest tail latency at 5,000 to 50,000 events a second.
const IN_FLIGHT: usize = 2;

/// The silences after which a sender repeats its position, so that the loss of its last event is
/// detected. After these, the silence is doubled up to [`LONGEST_SILENCE`], to limit the traffic of
/// a large idle fleet.
const IDLE: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];

const LONGEST_SILENCE: Duration = Duration::from_hours(1);

/// The pause before frames that a busy server rejected are sent again.
const BUSY: Duration = Duration::from_millis(100);

/// A frame with sequence numbers.
pub(crate) struct Flight {
    pub(crate) first: u64,
    pub(crate) events: u32,
    pub(crate) frame: Bytes,
    pub(crate) meta: FrameMeta,
    /// True if Redis may have published it, and its reply was lost.
    pub(crate) is_uncertain: bool,
    /// The number of times that it was sent again after its reply was lost.
    pub(crate) attempt: u32,
    /// The reply, while it can arrive.
    pub(crate) reply: Option<Reply>,
    /// The time at which it was last sent.
    pub(crate) left: Instant,
}

type Check = BoxFuture<'static, Result<(), ConnectError>>;

/// The state of the send task that outlives a connection.
pub(crate) struct Progress {
    pub(crate) numbering: Numbering,
    pub(crate) flights: VecDeque<Flight>,
    /// The replies to frames that were given up in flight. They arrive before those of `flights`.
    pub(crate) given_up: VecDeque<GivenUp>,
    /// The number of the oldest of `flights` that a busy server rejected. They are sent again before
    /// any new frame.
    pub(crate) refused: usize,
    /// The error of the last of them.
    refusal: Arc<str>,
    /// The bytes until the next poll of the subscribers' backlogs.
    pub(crate) until_poll: usize,
    pub(crate) last_sent: Instant,
    pub(crate) announced: usize,
    /// The number of times that the position was sent.
    positions: u32,
    /// The last position of an own frame that Redis accepted, if it keeps frames.
    pub(crate) accepted: JournalPosition,
}

/// A frame that was given up in flight.
pub(crate) struct GivenUp {
    pub(crate) reply: Reply,
    pub(crate) left: Instant,
}

/// The state of one send connection.
pub(crate) struct Session {
    pub(crate) publisher: Arc<dyn Publisher>,
    pub(crate) driver: BoxFuture<'static, ()>,
    pub(crate) left: BoxFuture<'static, ConnectError>,
    /// The running poll of the subscribers' backlogs; it returns the bytes until the next.
    pub(crate) poll: Option<BoxFuture<'static, (usize, Pacer)>>,
    pub(crate) pacer: Option<Pacer>,
    pub(crate) announcement: Option<Reply>,
    /// The position that was last sent: the number after those of the frames before it.
    position: u64,
    /// The time at which the position was last sent.
    pub(crate) announced: Instant,
    /// The running check of the server's role.
    pub(crate) check: Option<Check>,
    checked: Instant,
    /// The interval of checks, which are keepalives too.
    keepalive: Duration,
    /// The maximum wait for a reply of Redis.
    interval: Duration,
    /// The time since which a reply is due.
    asked: Instant,
    /// The time at which a busy server last rejected a frame.
    refused: Instant,
    pub(crate) ahead_since: Option<Instant>,
    /// The running search for frames whose reply was lost. Nothing is sent before its result.
    pub(crate) search: Option<Search>,
    /// True if only the position may be sent.
    pub(crate) is_unproven: bool,
}

impl Flight {
    /// Publishes it again over this connection.
    pub(crate) fn send_again(&mut self, publisher: &dyn Publisher, now: Instant) {
        self.attempt += u32::from(self.is_uncertain);
        self.left = now;
        self.reply = Some(publisher.publish_again(self.frame.clone(), self.attempt));
    }

    /// The number after its last one.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.events)
    }

    pub(crate) fn sent(&self) -> Sent {
        Sent::new(self.first, self.events, &self.frame)
    }
}

impl Progress {
    /// `after` is the position after which own frames are kept, if they are.
    pub(crate) fn new(after: JournalPosition) -> Self {
        Self {
            numbering: Numbering::new(),
            flights: VecDeque::new(),
            given_up: VecDeque::new(),
            refused: 0,
            refusal: "".into(),
            until_poll: pacing::POLL_EVERY,
            last_sent: Instant::now(),
            announced: 0,
            positions: 0,
            accepted: after,
        }
    }

    /// The connection is lost: frames in flight may have been published.
    pub(crate) fn lose_replies(&mut self) {
        self.given_up.clear();
        self.refused = 0;
        for flight in &mut self.flights {
            flight.is_uncertain |= flight.reply.take().is_some();
        }
    }

    /// The number of frames in flight, including those that have to be sent again.
    pub(crate) fn under_way(&self) -> usize {
        self.given_up.len() + self.flights.len()
    }

    /// The number of frames that wait for a reply.
    fn unanswered(&self) -> usize {
        self.under_way() - self.refused
    }

    /// Returns true if frames have to be sent again, and no reply is pending.
    fn is_to_leave_again(&self) -> bool {
        self.refused > 0 && self.unanswered() == 0
    }

    /// The error of a busy server, while rejected frames wait to be sent again.
    pub(crate) fn refusal(&self) -> Option<SendFailure> {
        (self.refused > 0).then(|| SendFailure::Refused(Arc::clone(&self.refusal)))
    }

    /// Takes the oldest frame, to give it up.
    pub(crate) fn take_oldest(&mut self) -> Option<Flight> {
        self.refused = self.refused.saturating_sub(1);
        self.flights.pop_front()
    }

    /// Polls the reply to the oldest frame that waits for one. Given-up frames come first.
    pub(crate) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Published, PublishError>> {
        if let Some(given_up) = self.given_up.front_mut() {
            return given_up.reply.as_mut().poll(cx);
        }
        let flight = self.flights.get_mut(self.refused);
        let reply = flight.and_then(|flight| flight.reply.as_mut());
        reply.map_or(Poll::Pending, |reply| reply.as_mut().poll(cx))
    }

    pub(crate) fn next_announcement(&self) -> Instant {
        // A sender without events has nothing to lose.
        let announced = if self.numbering.next() == 1 {
            usize::MAX
        } else {
            self.announced
        };
        self.last_sent + silence(announced)
    }
}

impl Session {
    pub(crate) fn new(sending: SendHalf, interval: Duration, keepalive: Duration) -> Self {
        let SendHalf {
            publisher,
            driver,
            left,
            keyspace: _,
            is_unproven,
        } = sending;
        let asked = Instant::now();
        Self {
            publisher: publisher.into(),
            driver,
            left,
            poll: None,
            pacer: None,
            announcement: None,
            position: 0,
            announced: asked,
            check: None,
            checked: asked,
            keepalive,
            interval,
            asked,
            refused: asked,
            ahead_since: None,
            search: None,
            is_unproven,
        }
    }

    pub(crate) fn may_send(&mut self, progress: &Progress, window: &SendWindow) -> bool {
        if window.is_far_ahead() {
            self.ahead_since.get_or_insert_with(Instant::now);
        } else {
            self.ahead_since = None;
        }
        progress.under_way() < IN_FLIGHT
            && progress.refused == 0
            && self.poll.is_none()
            && self.ahead_since.is_none()
            && self.search.is_none()
            && !self.is_unproven
    }

    /// The time at which the timers have to be checked.
    pub(crate) fn due(&self, progress: &Progress, drop_deadline: Option<Instant>) -> Instant {
        let unanswered = self
            .is_waiting(progress)
            .then(|| self.asked + self.interval);
        let ahead = self.ahead_since.map(|since| since + ECHO_TIMEOUT);
        let check = self.check.is_none().then(|| self.checked + self.keepalive);
        let again = progress.is_to_leave_again().then(|| self.refused + BUSY);
        let times = [unanswered, ahead, check, again, drop_deadline];
        let times = times.into_iter().flatten();
        times.fold(progress.next_announcement(), Instant::min)
    }

    pub(crate) fn is_unanswered(&self, progress: &Progress) -> bool {
        self.is_waiting(progress) && self.asked.elapsed() >= self.interval
    }

    pub(crate) fn is_waiting(&self, progress: &Progress) -> bool {
        // A long search is checked as an idle connection is.
        self.announcement.is_some()
            || self.check.is_some()
            || self.search.is_none() && progress.unanswered() > 0
    }

    /// Returns true if neither a frame nor the position is in flight.
    pub(crate) fn is_idle(&self, progress: &Progress) -> bool {
        progress.under_way() == 0 && self.announcement.is_none()
    }

    pub(crate) fn send(&mut self, mut flight: Flight, progress: &mut Progress) {
        let now = Instant::now();
        self.ask(progress, now);
        flight.left = now;
        flight.reply = Some(self.publisher.publish(flight.frame.clone()));
        progress.until_poll = progress.until_poll.saturating_sub(flight.frame.len());
        if progress.until_poll == 0 {
            let pacer = self.pacer.take().unwrap_or_default();
            self.poll = Some(Box::pin(pacer.wait(Arc::clone(&self.publisher))));
        }
        progress.flights.push_back(flight);
        progress.last_sent = now;
        progress.announced = 0;
    }

    /// Handles the rejection of the oldest frame by a busy server.
    pub(crate) fn refused(&mut self, error: String, progress: &mut Progress) {
        if let Some(flight) = progress.flights.get_mut(progress.refused) {
            flight.reply = None;
            progress.refused += 1;
            progress.refusal = error.into();
            self.refused = Instant::now();
        }
    }

    /// Sends all rejected frames again, in order, [`BUSY`] after the last rejection.
    pub(crate) fn send_again_if_due(&mut self, progress: &mut Progress) {
        if !progress.is_to_leave_again() || self.refused.elapsed() < BUSY {
            return;
        }
        let now = Instant::now();
        self.ask(progress, now);
        progress.refused = 0;
        for flight in &mut progress.flights {
            flight.send_again(&*self.publisher, now);
        }
    }

    /// Begins to look for the frames that may have been published. Returns false if there are none, or
    /// if the server keeps no frames.
    pub(crate) fn search(&mut self, me: NodeId, progress: &Progress) -> bool {
        let uncertain = progress.flights.iter().filter(|flight| flight.is_uncertain);
        let uncertain: Vec<_> = uncertain
            .map(|flight| Numbers {
                sender: me,
                first: flight.first,
                events: flight.events,
            })
            .collect();
        if !uncertain.is_empty() {
            self.search = self.publisher.find(progress.accepted, uncertain);
        }
        self.search.is_some()
    }

    /// Publishes the position, unless that is in flight already, or frames before it have to be sent
    /// again: subscribers would take them for lost.
    pub(crate) fn announce(&mut self, format: Format, me: NodeId, progress: &mut Progress) {
        if self.announcement.is_none() && progress.refused == 0 && self.search.is_none() {
            self.announced = Instant::now();
            self.ask(progress, self.announced);
            let next = progress.numbering.next();
            progress.numbering.may_be_published(next);
            self.position = next;
            let position = position_frame(format, me, next);
            // A journal tells equal frames apart by the attempt.
            progress.positions = progress.positions.wrapping_add(1);
            let sent = self.publisher.publish_again(position, progress.positions);
            self.announcement = Some(sent);
        }
    }

    /// Returns true if all frames before the position have their replies. Redis answers in order, but
    /// the reply to a frame without a journal needs further commands.
    pub(crate) fn is_position_next(&self, progress: &Progress) -> bool {
        let waiting = progress.flights.get(progress.refused);
        waiting.is_none_or(|flight| flight.first >= self.position)
    }

    pub(crate) fn check_if_due(&mut self, progress: &Progress) {
        if self.checked.elapsed() >= self.keepalive {
            self.check(progress);
        }
    }

    /// Checks the server's role: a master that became a replica accepts and echoes frames, but they
    /// reach no other server.
    pub(crate) fn check(&mut self, progress: &Progress) {
        if self.check.is_none() {
            let now = Instant::now();
            self.ask(progress, now);
            self.checked = now;
            self.check = Some(self.publisher.check());
        }
    }

    /// Records the backlog of the subscribers.
    pub(crate) fn polled(&mut self, (bytes, pacer): (usize, Pacer), progress: &mut Progress) {
        progress.until_poll = bytes;
        self.pacer = Some(pacer);
    }

    /// Records a reply of Redis.
    pub(crate) fn answered(&mut self) {
        self.asked = Instant::now();
    }

    /// Records a command. The oldest one without a reply counts.
    fn ask(&mut self, progress: &Progress, now: Instant) {
        if !self.is_waiting(progress) {
            self.asked = now;
        }
    }
}

/// The silence before the position is repeated, after it was repeated `announced` times.
fn silence(announced: usize) -> Duration {
    let last = IDLE.len() - 1;
    let doublings = u32::try_from(announced.saturating_sub(last)).unwrap_or(u32::MAX);
    let silence = IDLE[announced.min(last)].saturating_mul(2_u32.saturating_pow(doublings));
    silence.min(LONGEST_SILENCE)
}

/// Waits for the future and removes it; waits for ever if there is none.
pub(crate) async fn if_any<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(waiting) = future else {
        return pending().await;
    };
    let output = waiting.await;
    *future = None;
    output
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Mutex;

    use super::*;
    use crate::observe::health::Counts;
    use crate::observe::reports::Reports;
    use crate::send::frame::OpenFrame;
    use crate::send::given_up::GivenUpEvents;
    use crate::transport::memory::Memory;
    use crate::transport::{Backlog, Transport};

    /// A server that may be busy for its first frames, and records all frames.
    struct Busy {
        /// For each of the next frames, true if it is accepted; later ones are.
        takes: Mutex<VecDeque<bool>>,
        given: Arc<Mutex<Vec<Bytes>>>,
    }

    impl Publisher for Busy {
        fn publish(&self, frame: Bytes) -> Reply {
            self.given.lock().unwrap().push(frame);
            let takes = self.takes.lock().unwrap().pop_front().unwrap_or(true);
            let busy = || PublishError::NotNow("BUSY".to_owned());
            Box::pin(ready(
                takes.then_some(Published::to(Some(1))).ok_or_else(busy),
            ))
        }

        fn backlogs(&self) -> BoxFuture<'static, Option<Vec<Backlog>>> {
            Box::pin(ready(None))
        }

        fn check(&self) -> Check {
            Box::pin(ready(Ok(())))
        }
    }

    /// A session that has sent `1` and `2`, and the frames that its server received.
    async fn sent_to(takes: &[bool]) -> (Session, Progress, Arc<Mutex<Vec<Bytes>>>) {
        let given = Arc::<Mutex<Vec<Bytes>>>::default();
        let publisher = Box::new(Busy {
            takes: Mutex::new(takes.iter().copied().collect()),
            given: Arc::clone(&given),
        });
        let memory = Memory::new("busy-for-a-moment", "channel");
        let sending = SendHalf {
            publisher,
            ..memory.connect().await.unwrap().sending
        };
        let long = Duration::from_mins(1);
        let (mut session, mut progress) = (
            Session::new(sending, long, long),
            Progress::new(JournalPosition::START),
        );
        let reports = Arc::new(Reports::new(Arc::new(Counts::new())));
        let given_up = Arc::new(GivenUpEvents::new(reports));
        for (first, frame) in [(1, "1"), (2, "2")] {
            let flight = Flight {
                first,
                events: 1,
                frame: frame.into(),
                meta: OpenFrame::new(Format::Json, NodeId::new(1), Vec::new(), &given_up).meta,
                is_uncertain: false,
                attempt: 0,
                reply: None,
                left: Instant::now(),
            };
            session.send(flight, &mut progress);
        }
        (session, progress, given)
    }

    async fn answer(progress: &mut Progress) -> Result<Published, PublishError> {
        std::future::poll_fn(|cx| progress.poll_answer(cx)).await
    }

    #[tokio::test]
    async fn frames_that_a_busy_server_rejects_are_sent_again_in_order_before_new_ones() {
        let (mut session, mut progress, given) = sent_to(&[false, false]).await;
        for _ in 0..2 {
            let refused = answer(&mut progress).await;
            assert!(matches!(refused, Err(PublishError::NotNow(_))));
            session.refused("BUSY".to_owned(), &mut progress);
        }
        session.announce(Format::Json, NodeId::new(1), &mut progress);
        session.send_again_if_due(&mut progress);
        assert_eq!(given.lock().unwrap().len(), 2, "the pause is not over");
        assert!(!session.is_waiting(&progress));

        let due = session.due(&progress, None);
        assert!(due <= Instant::now() + BUSY);
        tokio::time::sleep_until(due).await;
        session.send_again_if_due(&mut progress);

        assert_eq!(*given.lock().unwrap(), ["1", "2", "1", "2"]);
        assert!(answer(&mut progress).await.is_ok());
    }

    #[tokio::test]
    async fn a_rejected_frame_is_distinguished_from_a_later_accepted_one() {
        let (mut session, mut progress, _) = sent_to(&[false, true]).await;
        answer(&mut progress).await.unwrap_err();
        session.refused("BUSY".to_owned(), &mut progress);
        answer(&mut progress).await.unwrap();

        let reason = progress.refusal().unwrap().to_string();
        assert_eq!(reason, "redis rejected it: BUSY");
        assert_eq!(progress.take_oldest().unwrap().frame, "1");
        assert!(progress.refusal().is_none());
        assert_eq!(progress.take_oldest().unwrap().frame, "2");
    }

    #[test]
    fn the_pauses_between_positions_grow_while_nothing_is_sent() {
        let seconds = [0, 1, 2, 3, 4, 8, 9, 10, usize::MAX].map(|times| silence(times).as_secs());
        assert_eq!(seconds, [1, 5, 30, 60, 120, 1920, 3600, 3600, 3600]);
    }
}
