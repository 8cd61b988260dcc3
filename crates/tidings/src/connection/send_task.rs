//! The send task: publishes frames from the outgoing queue and resolves them.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::connection::heartbeat::{Broken, Heartbeat};
use crate::connection::numbering::is_before_publishing;
use crate::connection::pacing;
use crate::connection::session::{Flight, GivenUp, Progress, Session, if_any};
use crate::error::connect::ConnectError;
use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::event::position::JournalPosition;
use crate::observe::health::Counts;
use crate::observe::metrics::Frames;
use crate::observe::reports::OpenReports;
use crate::send::frame::{FrameMeta, OpenFrame, Outcome};
use crate::send::given_up::GivenUpFrame;
use crate::send::outgoing::Outgoing;
use crate::send::window::{ECHO_TIMEOUT, SendWindow};
use crate::task::stage::{Stage, reached};
use crate::transport::{PublishError, Published, SendHalf};

/// The maximum time in which waiting events are still sent when the bus is dropped.
const DROP_TIMEOUT: Duration = Duration::from_secs(1);

/// The minimum interval of expiring events while Redis is unreachable.
const MIN_TICK: Duration = Duration::from_millis(10);

/// The task that owns the send half of the connection.
#[derive(Debug)]
pub(crate) struct SendTask {
    pub(crate) outgoing: Arc<Outgoing>,
    pub(crate) window: Arc<SendWindow>,
    /// Closes the reports when the last send task ends.
    pub(crate) _reports: Arc<OpenReports>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) frames: Frames,
    pub(crate) heartbeat: Arc<Heartbeat>,
    /// Connections from the receive task; `None` when the connection is lost.
    pub(crate) sessions: mpsc::Receiver<Option<SendHalf>>,
    pub(crate) stage: watch::Receiver<Stage>,
    /// False if this task sends nothing, so that there is no position to state.
    pub(crate) states_position: bool,
}

/// The reason why a connection is no longer used.
enum End {
    /// The receive task has another one, or this one is lost.
    Replaced(Option<SendHalf>),
    /// The bus is closed.
    Left,
}

impl SendTask {
    /// Sends until the bus is closed, then resolves what is left.
    ///
    /// `after` is the position after which the frames of this task are kept, if they are.
    pub(crate) fn run(
        self,
        sending: SendHalf,
        after: JournalPosition,
    ) -> impl Future<Output = ()> + Send + 'static {
        let mut work = Work {
            sender: self,
            progress: Progress::new(after),
        };
        async move {
            let Work { sender, progress } = &mut work;
            let mut sending = Some(sending);
            loop {
                let end = match sending.take() {
                    Some(connected) => sender.send_over(connected, progress).await,
                    None => sender.wait(progress).await,
                };
                progress.lose_replies();
                match end {
                    End::Replaced(next) => sending = next,
                    End::Left => break,
                }
            }
        }
    }

    /// Waits for a connection, and gives up events whose timeout passes.
    async fn wait(&mut self, progress: &mut Progress) -> End {
        self.outgoing.set_unreachable(true);
        if self.outgoing.settings().is_volatile {
            self.give_up_all(progress, &SendFailure::Unreachable);
        }
        let end = loop {
            // A new event can set an earlier deadline at any time.
            let latest =
                Instant::now() + ECHO_TIMEOUT.min(self.outgoing.settings().timeout.max(MIN_TICK));
            let deadline = self
                .deadline(progress)
                .map_or(latest, |deadline| deadline.min(latest));
            tokio::select! {
                session = self.sessions.recv() => match session {
                    Some(Some(session)) => break End::Replaced(Some(session)),
                    // The loss is known already.
                    Some(None) => {}
                    None => break End::Left,
                },
                () = sleep_until(deadline) => self.give_up_expired(progress),
                _ = reached(&mut self.stage, Stage::Leaving) => break End::Left,
            }
        };
        self.outgoing.set_unreachable(false);
        end
    }

    async fn send_over(&mut self, sending: SendHalf, progress: &mut Progress) -> End {
        let mut session = self.begin(sending, progress);
        match self.send_until_end(&mut session, progress).await {
            Ok(end) => end,
            Err(why) => self.report_and_wait(why, session, progress).await,
        }
    }

    /// Starts a session: sends the frames in flight again, and the position.
    fn begin(&self, sending: SendHalf, progress: &mut Progress) -> Session {
        let mut session =
            Session::new(sending, self.heartbeat.interval, self.heartbeat.keepalive());
        if session.search(self.outgoing.me, progress) {
            return session;
        }
        // Under their old numbers: a subscriber that has received them drops them. They come first,
        // because the driver has not been polled yet.
        for flight in &mut progress.flights {
            self.window.sent(flight.sent());
            flight.send_again(&*session.publisher, Instant::now());
        }
        // The permission to see backlogs may differ on this server.
        progress.until_poll = pacing::POLL_EVERY;
        // Subscribers detect from the position what they missed before.
        self.announce(&mut session, progress);
        session
    }

    /// Sends until the connection is replaced or the bus is closed. Returns an error if the connection
    /// cannot be used any more.
    async fn send_until_end(
        &mut self,
        session: &mut Session,
        progress: &mut Progress,
    ) -> Result<End, ConnectError> {
        let mut drop_deadline = None;
        let mut sessions_ended = false;
        let (heartbeat, mut stage) = (Arc::clone(&self.heartbeat), self.stage.clone());
        let mut wanted = pin!(heartbeat.wanted.notified());
        let mut proven = pin!(heartbeat.proven.notified());
        let mut leaving = pin!(reached(&mut stage, Stage::Leaving));
        loop {
            if drop_deadline.is_some() && self.outgoing.is_empty() && progress.flights.is_empty() {
                return Ok(End::Left);
            }
            let may_send = session.may_send(progress, &self.window);
            let is_position_next = session.is_position_next(progress);
            let is_idle = progress.under_way() == 0;
            let due = self.due(progress, session.due(progress, drop_deadline), may_send);
            tokio::select! {
                biased;
                next = self.sessions.recv(), if !sessions_ended => match next {
                    Some(next) => return Ok(End::Replaced(next)),
                    None => sessions_ended = true,
                },
                why = &mut session.left => return Err(why),
                () = &mut session.driver => return Err(ConnectError::Lost),
                answer = poll_fn(|cx| progress.poll_answer(cx)) => {
                    self.answered(answer, session, progress)?;
                }
                polled = if_any(&mut session.poll) => session.polled(polled, progress),
                found = if_any(&mut session.search) => self.found(&found?, session, progress),
                answer = if_any(&mut session.announcement), if is_position_next => {
                    self.announced(answer, session, progress);
                }
                checked = if_any(&mut session.check) => {
                    session.answered();
                    checked?;
                }
                () = self.window.received(), if session.ahead_since.is_some() => {}
                () = &mut proven, if session.is_unproven => session.is_unproven = false,
                open = self.outgoing.next(is_idle), if may_send => {
                    session.send(self.number(open, progress), progress);
                }
                () = &mut wanted => {
                    wanted.set(heartbeat.wanted.notified());
                    self.announce(session, progress);
                    session.check(progress);
                }
                stage = &mut leaving, if drop_deadline.is_none() => {
                    drop_deadline = Some(Instant::now() + DROP_TIMEOUT);
                    if stage == Stage::Closed {
                        return Ok(End::Left);
                    }
                }
                () = sleep_until(due) => {
                    if drop_deadline.is_some_and(|drop_deadline| drop_deadline <= Instant::now()) {
                        return Ok(End::Left);
                    }
                    self.check_timers(session, progress)?;
                }
            }
        }
    }

    /// Reports to the receive task that the connection cannot be used any more, and waits for the
    /// next. That can take a while: the receive task may be waiting for a handler.
    async fn report_and_wait(
        &mut self,
        why: ConnectError,
        session: Session,
        progress: &mut Progress,
    ) -> End {
        let was_idle = matches!(why, ConnectError::Lost) && session.is_idle(progress);
        let why = match why {
            ConnectError::Lost => session.publisher.lost(),
            why => why,
        };
        // Other waits for replies over this connection end at once.
        drop(session);
        self.heartbeat.report(Broken { why, was_idle });
        progress.lose_replies();
        self.wait(progress).await
    }

    /// Publishes the position, after any forged numbers.
    fn announce(&self, session: &mut Session, progress: &mut Progress) {
        if !self.states_position {
            return;
        }
        let next = self.window.next_number(progress.numbering.next());
        progress.numbering.advance(next);
        session.announce(self.outgoing.format, self.outgoing.me, progress);
    }

    /// Resolves the frames that were found, and sends those after them again. Those between found ones
    /// are given up: subscribers have missed them by now, and would drop their old numbers.
    fn found(
        &self,
        found: &[(u64, JournalPosition)],
        session: &mut Session,
        progress: &mut Progress,
    ) {
        session.answered();
        let position_of = |flight: &Flight| {
            let found = found.iter().find(|(first, _)| *first == flight.first);
            found.map(|(_, position)| *position)
        };
        let last = progress
            .flights
            .iter()
            .rposition(|flight| position_of(flight).is_some());
        let rest = progress.flights.split_off(last.map_or(0, |last| last + 1));
        for flight in std::mem::replace(&mut progress.flights, rest) {
            let Some(position) = position_of(&flight) else {
                self.give_up(flight, SendFailure::Lost, progress);
                continue;
            };
            progress.accepted = position;
            if let Some(wanted) = session.publisher.wanted_replicas() {
                // Replicas confirm only what was sent over the same connection.
                self.give_up(flight, not_replicated(position, 0, wanted), progress);
                continue;
            }
            let published = Published {
                receivers: None,
                position: Some(position),
            };
            self.resolve(flight, published, progress);
        }
        for flight in &mut progress.flights {
            flight.send_again(&*session.publisher, Instant::now());
        }
        self.announce(session, progress);
    }

    /// Resolves a frame that Redis accepted.
    fn resolve(&self, flight: Flight, published: Published, progress: &mut Progress) {
        progress.numbering.may_be_published(flight.end());
        self.heartbeat.published(flight.left);
        Counts::add(&self.counts.sent, u64::from(flight.events));
        self.frames.add(flight.frame.len(), flight.events);
        let outcome = Outcome::Sent {
            first: flight.first,
            receivers: published.receivers,
            position: published.position,
        };
        // First, because the frame that gets the room needs memory.
        self.outgoing.reuse(flight.frame);
        self.outgoing.resolve(&flight.meta, outcome);
    }

    /// Handles the reply to the position.
    fn announced(
        &self,
        answer: Result<Published, PublishError>,
        session: &mut Session,
        progress: &mut Progress,
    ) {
        session.answered();
        let accepted = match answer {
            Ok(published) => published.position,
            // Subscribers read it all the same.
            Err(PublishError::NotReplicated { position, .. }) => Some(position),
            Err(error) => return tracing::debug!(?error, "cannot publish the position"),
        };
        progress.accepted = accepted.unwrap_or(progress.accepted);
        self.heartbeat.published(session.announced);
        self.give_up_overtaken(progress);
    }

    /// Numbers a frame. It keeps its numbers when it is sent again.
    fn number(&self, open: OpenFrame, progress: &mut Progress) -> Flight {
        let OpenFrame { writer, meta, .. } = open;
        let first = self.window.next_number(progress.numbering.next());
        let events = writer.events();
        progress.numbering.advance(first + u64::from(events));
        let frame = writer.finish(first);
        let flight = Flight {
            first,
            events,
            frame,
            meta,
            is_uncertain: false,
            attempt: 0,
            reply: None,
            left: Instant::now(),
        };
        self.window.sent(flight.sent());
        flight
    }

    /// Resolves the oldest frame that waits for a reply. Returns an error if the connection cannot be
    /// used any more.
    fn answered(
        &self,
        answer: Result<Published, PublishError>,
        session: &mut Session,
        progress: &mut Progress,
    ) -> Result<(), ConnectError> {
        session.answered();
        if let Some(given_up) = progress.given_up.front() {
            if answer.is_ok() {
                self.heartbeat.published(given_up.left);
            }
            if let Err(PublishError::Lost) = answer {
                return Err(ConnectError::Lost);
            }
            // It is already resolved.
            progress.given_up.pop_front();
            return Ok(());
        }
        match answer {
            Ok(published) => {
                self.give_up_overtaken(progress);
                let flight = progress.flights.pop_front().expect("it was just polled");
                progress.accepted = published.position.unwrap_or(progress.accepted);
                self.resolve(flight, published, progress);
            }
            Err(PublishError::NotNow(words)) if !self.outgoing.settings().is_volatile => {
                session.refused(words, progress);
            }
            Err(PublishError::Refused(words)) => {
                // Its numbers stay given if the text does not come from Redis itself.
                let is_certain = is_before_publishing(&words);
                self.refused(SendFailure::Refused(words.into()), is_certain, progress);
            }
            Err(PublishError::Denied(words)) => {
                self.refused(SendFailure::Denied(words.into()), true, progress);
            }
            Err(PublishError::NotNow(words)) => {
                self.refused(SendFailure::Refused(words.into()), true, progress);
            }
            Err(PublishError::NotReplicated {
                position,
                replicas,
                wanted,
            }) => {
                self.give_up_overtaken(progress);
                let mut flight = progress.take_oldest().expect("it was just polled");
                (progress.accepted, flight.is_uncertain) = (position, true);
                self.give_up(flight, not_replicated(position, replicas, wanted), progress);
            }
            Err(PublishError::Lost) => return Err(ConnectError::Lost),
        }
        Ok(())
    }

    /// Gives up the oldest frame that waits for a reply, because Redis rejected it.
    fn refused(&self, reason: SendFailure, is_certain: bool, progress: &mut Progress) {
        let index = progress.refused;
        let mut flight = progress.flights.remove(index).expect("it was just polled");
        flight.reply = None;
        if !is_certain {
            progress.numbering.may_be_published(flight.end());
        }
        self.give_up(flight, reason, progress);
    }

    /// Gives up the frames that a busy server rejected, because a later one was accepted: subscribers
    /// have missed them by now, and would drop their old numbers.
    fn give_up_overtaken(&self, progress: &mut Progress) {
        while let Some(reason) = progress.refusal() {
            let flight = progress.take_oldest().expect("it was refused");
            self.give_up(flight, reason, progress);
        }
    }

    /// Does what is due, or says why the connection is of no use any more.
    fn check_timers(
        &self,
        session: &mut Session,
        progress: &mut Progress,
    ) -> Result<(), ConnectError> {
        if session.is_unanswered(progress) {
            let silence = self.heartbeat.interval;
            return Err(ConnectError::Unanswered { silence });
        }
        self.give_up_expired(progress);
        session.check_if_due(progress);
        session.send_again_if_due(progress);
        if session
            .ahead_since
            .is_some_and(|since| since.elapsed() >= ECHO_TIMEOUT)
        {
            // The receive task decides if the connection is lost.
            self.window.forget();
        }
        if progress.next_announcement() <= Instant::now() {
            progress.announced += 1;
            progress.last_sent = Instant::now();
            self.announce(session, progress);
        }
        Ok(())
    }

    /// The times at which waiting events have to be checked.
    fn due(&self, progress: &Progress, in_session: Instant, may_send: bool) -> Instant {
        // A frame that cannot be sent is closed at that age.
        let slice = (!may_send).then(|| Instant::now() + self.outgoing.slice());
        let times = self.deadline(progress).into_iter().chain(slice);
        times.fold(in_session, Instant::min)
    }

    /// The time at which the oldest event must be given up.
    fn deadline(&self, progress: &Progress) -> Option<Instant> {
        let timeout = self.outgoing.settings().timeout;
        let oldest = progress.flights.front();
        oldest
            .map(|flight| flight.meta.since + timeout)
            .or_else(|| self.outgoing.deadline())
    }

    fn give_up_expired(&self, progress: &mut Progress) {
        let timeout = self.outgoing.settings().timeout;
        let refused = self.heartbeat.refused.lock().clone();
        let reason = refused
            .or_else(|| progress.refusal())
            .unwrap_or(SendFailure::TimedOut(timeout));
        // One time for all: a younger frame must not expire before an older one.
        let now = Instant::now();
        while progress
            .flights
            .front()
            .is_some_and(|flight| now.duration_since(flight.meta.since) >= timeout)
        {
            let mut flight = progress.take_oldest().expect("the loop condition saw it");
            if let Some(reply) = flight.reply.take() {
                flight.is_uncertain = true;
                let left = flight.left;
                progress.given_up.push_back(GivenUp { reply, left });
            }
            self.give_up(flight, reason.clone(), progress);
        }
        for open in self.outgoing.expired(now) {
            self.give_up_open(open, &reason);
        }
    }

    fn give_up_all(&self, progress: &mut Progress, reason: &SendFailure) {
        for flight in std::mem::take(&mut progress.flights) {
            self.give_up(flight, reason.clone(), progress);
        }
        while let Some(open) = self.outgoing.take() {
            self.give_up_open(open, reason);
        }
    }

    fn give_up(&self, flight: Flight, reason: SendFailure, progress: &mut Progress) {
        let numbers = flight.first..flight.end();
        let Flight {
            first,
            frame,
            meta,
            is_uncertain,
            reply,
            ..
        } = flight;
        let why = if is_uncertain || reply.is_some() {
            progress.numbering.may_be_published(numbers.end);
            Unconfirmed::Unknown(reason)
        } else {
            if progress.numbering.not_published(numbers) {
                self.window.take_back(progress.numbering.next());
            }
            Unconfirmed::NotSent(reason)
        };
        self.fail(frame, Some(first), &meta, why);
    }

    fn give_up_open(&self, open: OpenFrame, reason: &SendFailure) {
        self.fail(
            open.writer.finish(1),
            None,
            &open.meta,
            Unconfirmed::NotSent(reason.clone()),
        );
    }

    /// Resolves a frame as failed. Its events that no caller awaits are reported, and returned by the
    /// next flush.
    fn fail(&self, frame: Bytes, first: Option<u64>, meta: &FrameMeta, why: Unconfirmed) {
        let given_up = GivenUpFrame {
            frame,
            first,
            why: why.clone(),
        };
        meta.pending.give_up(&given_up, &meta.fed);
        self.outgoing.resolve(meta, Outcome::Failed(why));
    }
}

fn not_replicated(position: JournalPosition, replicas: u32, wanted: u32) -> SendFailure {
    SendFailure::NotReplicated {
        position: position.to_string().into(),
        replicas,
        wanted,
    }
}

/// The send task with its frames in flight. Resolves them when it ends or is dropped with its
/// runtime, even before its first poll.
struct Work {
    sender: SendTask,
    progress: Progress,
}

impl Drop for Work {
    fn drop(&mut self) {
        let Self { sender, progress } = self;
        progress.lose_replies();
        let reason = SendFailure::of_end(*sender.stage.borrow());
        sender.outgoing.shut(reason.clone());
        sender.give_up_all(progress, &reason);
    }
}

#[cfg(test)]
mod tests {
    use tidings_codec::{Format, NodeId};

    use super::*;
    use crate::observe::reports::Reports;
    use crate::send::given_up::GivenUpEvents;
    use crate::send::outgoing::Settings;
    use crate::transport::Transport;
    use crate::transport::memory::Memory;

    const ME: NodeId = NodeId::new(1);
    const LONG: Duration = Duration::from_mins(1);

    fn task(reports: &Arc<Reports>) -> SendTask {
        let settings = Settings {
            limit: 1,
            timeout: LONG,
            is_volatile: false,
        };
        SendTask {
            outgoing: Arc::new(Outgoing::new(
                ME,
                Format::Json,
                settings,
                Arc::clone(reports),
            )),
            window: Arc::default(),
            _reports: Arc::new(OpenReports(Arc::clone(reports))),
            counts: Arc::new(Counts::new()),
            frames: Frames::sent(),
            heartbeat: Arc::new(Heartbeat::new(LONG)),
            sessions: mpsc::channel(1).1,
            stage: watch::channel(Stage::Open).1,
            states_position: true,
        }
    }

    /// A frame of one event that a busy server rejected.
    fn rejected(reports: &Arc<Reports>) -> Flight {
        let given_up = Arc::new(GivenUpEvents::new(Arc::clone(reports)));
        let open = OpenFrame::new(Format::Json, ME, Vec::new(), &given_up);
        Flight {
            first: 1,
            events: 1,
            frame: open.writer.finish(1),
            meta: open.meta,
            is_uncertain: false,
            attempt: 0,
            reply: None,
            left: Instant::now(),
        }
    }

    #[tokio::test]
    async fn a_position_that_too_few_replicas_confirm_overtakes_rejected_frames() {
        let reports = Arc::new(Reports::new(Arc::new(Counts::new())));
        let task = task(&reports);
        let memory = Memory::new("overtaken", "channel");
        let sending = memory.connect().await.unwrap().sending;
        let mut session = Session::new(sending, LONG, LONG);
        let mut progress = Progress::new(JournalPosition::START);
        progress.flights.push_back(rejected(&reports));
        progress.refused = 1;
        progress.numbering.advance(2);

        let position = JournalPosition::at(7);
        let error = PublishError::NotReplicated {
            position,
            replicas: 0,
            wanted: 1,
        };
        task.announced(Err(error), &mut session, &mut progress);

        assert!(progress.flights.is_empty());
        assert_eq!(progress.accepted, position);
    }
}
