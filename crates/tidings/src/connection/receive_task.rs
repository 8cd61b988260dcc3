//! The receive task: receives frames, detects that the connection is lost or silent, and
//! reconnects.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tidings_codec::NodeId;
use tokio::sync::{mpsc, watch};
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep, sleep_until};

use crate::connection::heartbeat::{Broken, Heartbeat};
use crate::connection::outage::Outage;
use crate::connection::polling::PollSchedule;
use crate::connection::session::if_any;
use crate::error::connect::ConnectError;
use crate::error::gap::{Gap, GapReason};
use crate::error::report;
use crate::error::send_failure::SendFailure;
use crate::keyspace::access::KeyspaceAccess;
use crate::namespace::Namespace;
use crate::observe::connection::Connection;
use crate::observe::health::{Counts, HealthState};
use crate::receive::receiver::Receiver;
use crate::task::backoff::Delays;
use crate::task::random::jitter;
use crate::task::stage::{Stage, reached};
use crate::transport::{Connected, ReceiveHalf, SendHalf, SendingAgain, Transport};

/// The factor of the echo timeout while frames of other nodes arrive without a pause: the echo may
/// only be behind them.
const FLOOD: u32 = 12;

/// The maximum time in which frames that have arrived from a former server are still taken in.
const REST: Duration = Duration::from_millis(100);

/// The lifetime below which a connection that received nothing is not replaced at once.
const BRIEF: Duration = Duration::from_millis(250);

/// The task that owns the receive half of the connection.
pub(crate) struct ReceiveTask {
    pub(crate) node: NodeId,
    pub(crate) namespace: Namespace,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) receiver: Receiver,
    /// Sends each new connection to the send task, and `None` when the connection is lost.
    pub(crate) sessions: mpsc::Sender<Option<SendHalf>>,
    pub(crate) health: Arc<HealthState>,
    pub(crate) heartbeat: Arc<Heartbeat>,
    pub(crate) keyspace: Arc<KeyspaceAccess>,
    /// True if events are received by this task: with a journal, only requests are, and the events of
    /// buses without one.
    pub(crate) receives_events: bool,
    pub(crate) stage: watch::Receiver<Stage>,
}

impl ReceiveTask {
    /// Receives until the bus is closed.
    pub(crate) async fn run(mut self, receive_half: Box<dyn ReceiveHalf>) {
        let mut stage = self.stage.clone();
        let sessions = self.sessions.clone();
        tokio::select! {
            () = self.keep_receiving(receive_half) => {}
            _ = reached(&mut stage, Stage::Leaving) => {}
            // The send task has ended, so that this bus cannot be used any more.
            () = sessions.closed() => {}
        }
    }

    async fn keep_receiving(&mut self, mut receive_half: Box<dyn ReceiveHalf>) {
        let mut delays = Delays::new();
        loop {
            let (began, before) = (Instant::now(), self.receiver.count);
            receive_half.set_keepalive(self.heartbeat.keepalive());
            let why = self.receive(&mut *receive_half).await;
            let was_cut = matches!(why, ConnectError::Io { .. } | ConnectError::Lost);
            let quiet = receive_half.quiet().filter(|_| was_cut);
            let mut outage = Outage::since(Instant::now());
            self.lost(&why).await;
            if matches!(why, ConnectError::Moved { .. }) {
                self.receive_rest(&mut *receive_half).await;
            }
            drop(receive_half);
            if began.elapsed() > BRIEF || self.receiver.count > before {
                delays = Delays::new();
            } else {
                sleep(delays.next()).await;
            }
            let (connected, attempts) = self.reconnect(&mut delays, &mut outage).await;
            // The server was reachable all the time: idle connections may be cut.
            if let Some(quiet) = quiet.filter(|_| attempts == 1) {
                self.heartbeat.was_cut(quiet);
            }
            receive_half = self.reconnected(connected).await;
        }
    }

    /// Reports the loss of the connection to the send task and the other parts of the bus.
    async fn lost(&self, why: &ConnectError) {
        tracing::warn!(
            node = %self.node,
            namespace = self.namespace.name(),
            address = self.health.address,
            why = %report(why),
            "disconnected"
        );
        self.receiver.window.forget();
        self.keyspace.set(Err(SendFailure::Unreachable));
        let _ = self.sessions.send(None).await;
        // A free slot means that the send task has received it: nothing is sent any more when the
        // bus is seen as disconnected.
        let _ = self.sessions.reserve().await;
        // A report on the lost connection must not be taken for one on the next.
        let _ = self.heartbeat.broken.notified().now_or_never();
        self.health.disconnected(report(why).to_string());
    }

    /// Passes a new connection to the parts of the bus, and returns its receive half.
    async fn reconnected(&self, connected: Connected) -> Box<dyn ReceiveHalf> {
        Counts::add(&self.health.counts.reconnects, 1);
        tracing::info!(
            node = %self.node,
            namespace = self.namespace.name(),
            address = self.health.address,
            server = connected.server,
            "reconnected"
        );
        if self.receives_events {
            let reason = GapReason::Reconnected;
            self.receiver.reports.gap(&Gap {
                sender: None,
                missed: None,
                reason,
            });
        } else {
            self.receiver.reports.notifications_missed();
        }
        // Only now, with the subscription confirmed: nothing that is sent from here on, and no change
        // of shared state, can be missed.
        self.keyspace
            .set(Ok(Arc::clone(&connected.sending.keyspace)));
        let _ = self.sessions.send(Some(connected.sending)).await;
        self.health.up(connected.server, connected.left_out);
        connected.receive_half
    }

    /// Receives until there is a reason to replace the connection.
    async fn receive(&mut self, receive_half: &mut dyn ReceiveHalf) -> ConnectError {
        let (now, mut frames) = (Instant::now(), Vec::new());
        let mut state = State::new(now, self.pause());
        self.receiver.echoed = now;
        let mut poll_schedule = PollSchedule::new(now);
        let heartbeat = Arc::clone(&self.heartbeat);
        let (dispatcher, window) = (
            Arc::clone(&self.receiver.dispatcher),
            Arc::clone(&self.receiver.window),
        );
        let mut broken = pin!(heartbeat.broken.notified());
        let mut changed = pin!(dispatcher.changed.notified());
        let mut is_wanted = pin!(window.is_wanted.notified());
        // The next send half, while it is being connected.
        let mut again = None::<SendingAgain>;
        loop {
            let next_poll = self
                .next_poll(&mut poll_schedule)
                .filter(|_| !state.is_unproven);
            receive_half.set_watched(next_poll.is_none());
            let checked = tokio::select! {
                biased;
                () = &mut broken => {
                    broken.set(heartbeat.broken.notified());
                    let sending = self.sending_again(&*receive_half, state.sends_since);
                    // The receive half may be cut for being idle too.
                    receive_half.set_keepalive(self.heartbeat.keepalive());
                    sending.map(|sending| again = Some(sending))
                }
                sending = if_any(&mut again) => self.resume_sending(sending, &mut state).await,
                arrived = receive_half.receive(&mut frames) => {
                    state.received = Instant::now();
                    poll_schedule.received(frames.iter().map(Bytes::len).sum(), state.received);
                    self.take_in(&mut frames, &mut state).await;
                    arrived.and_then(|()| self.check_echo(self.heartbeat.interval * FLOOD))
                }
                // Each of these only polls again.
                () = sleep_until(next_poll.unwrap_or(now)), if next_poll.is_some() => Ok(()),
                () = &mut changed => {
                    changed.set(dispatcher.changed.notified());
                    Ok(())
                }
                () = &mut is_wanted, if next_poll.is_some() => {
                    is_wanted.set(window.is_wanted.notified());
                    Ok(())
                }
                () = sleep_until(self.next_check(self.due(&state))) => {
                    self.check_timers(&mut state)
                }
            };
            if let Err(why) = checked {
                return why;
            }
        }
    }

    /// Passes the new send half, if it was connected, to the send task, which uses it once its echo has
    /// been received here.
    async fn resume_sending(
        &self,
        sending: Result<SendHalf, ConnectError>,
        state: &mut State,
    ) -> Result<(), ConnectError> {
        let is_unproven = true;
        let sending = SendHalf {
            is_unproven,
            ..sending?
        };
        (state.sends_since, state.is_unproven) = (Instant::now(), is_unproven);
        // An earlier proof does not count.
        let _ = self.heartbeat.proven.notified().now_or_never();
        self.keyspace.set(Ok(Arc::clone(&sending.keyspace)));
        let _ = self.sessions.send(Some(sending)).await;
        Ok(())
    }

    /// Takes in the received frames.
    async fn take_in(&mut self, frames: &mut Vec<Bytes>, state: &mut State) {
        self.health.received(state.received.into_std());
        for frame in frames.drain(..) {
            self.receiver.receive(frame).await;
        }
        if state.is_unproven && self.receiver.echoed > state.sends_since {
            state.is_unproven = false;
            self.heartbeat.proven.notify_one();
        }
    }

    /// Makes due reports, and checks the connection after a silence.
    fn check_timers(&mut self, state: &mut State) -> Result<(), ConnectError> {
        let now = Instant::now();
        self.receiver.report(now);
        if now < self.due(state) {
            return Ok(());
        }
        (state.asked, state.pause) = (now, self.pause());
        if self.heartbeat.awaited(self.receiver.echoed).is_none() {
            self.heartbeat.wanted.notify_one();
        }
        self.check_echo(self.heartbeat.interval)
    }

    /// Begins to replace the send connection alone, or returns why the whole connection has to be
    /// replaced.
    ///
    /// The send connection alone is replaced if it was cut while it was idle, because then nothing
    /// was lost. With frames in flight that is not certain.
    fn sending_again(
        &self,
        receive_half: &dyn ReceiveHalf,
        since: Instant,
    ) -> Result<SendingAgain, ConnectError> {
        let Broken { why, was_idle } = self.heartbeat.take_report();
        let is_nothing_awaited = self.heartbeat.awaited(self.receiver.echoed).is_none();
        if !was_idle || !is_nothing_awaited || since.elapsed() < BRIEF {
            return Err(why);
        }
        let Some(again) = receive_half.sending_again() else {
            return Err(why);
        };
        self.heartbeat.was_cut(since.elapsed());
        tracing::debug!(address = self.health.address, why = %report(&why), "replacing an idle connection");
        self.keyspace.set(Err(SendFailure::Unreachable));
        Ok(again)
    }

    /// Takes in the frames that have arrived from the former server, for [`REST`] at most. The
    /// others are reported as a gap.
    async fn receive_rest(&mut self, receive_half: &mut dyn ReceiveHalf) {
        let until = Instant::now() + REST;
        let mut frames = Vec::new();
        while let Some(Ok(())) = unconstrained(receive_half.receive(&mut frames)).now_or_never() {
            for frame in frames.drain(..) {
                if Instant::now() >= until {
                    return;
                }
                self.receiver.receive(frame).await;
            }
        }
    }

    /// The time of the next poll for frames; `None` to be woken by each frame.
    fn next_poll(&self, poll_schedule: &mut PollSchedule) -> Option<Instant> {
        if self.receiver.is_awaited() {
            return None;
        }
        poll_schedule.next(Instant::now())
    }

    /// The time at which the echo, or else the next heartbeat, is due.
    fn due(&self, state: &State) -> Instant {
        match self.heartbeat.awaited(self.receiver.echoed) {
            Some(published) => published + self.heartbeat.interval,
            None => state.received.max(state.asked) + state.pause,
        }
    }

    /// The time at which the timers have to be checked.
    fn next_check(&self, due: Instant) -> Instant {
        let report = self.receiver.next_report();
        report.map_or(due, |report| report.min(due))
    }

    /// The silence before the next heartbeat, with jitter: each node receives the heartbeats of
    /// all, so one is enough.
    fn pause(&self) -> Duration {
        jitter(self.heartbeat.interval, 0.5..1.0)
    }

    /// Returns an error if an echo takes longer than this.
    fn check_echo(&self, within: Duration) -> Result<(), ConnectError> {
        let echoed = self.receiver.echoed;
        match self.heartbeat.awaited(echoed) {
            Some(published) if published.elapsed() >= within => Err(ConnectError::NoEcho {
                silence: echoed.elapsed(),
            }),
            _ => Ok(()),
        }
    }

    /// Reconnects, and returns the number of attempts.
    async fn reconnect(&self, delays: &mut Delays, outage: &mut Outage) -> (Connected, u32) {
        let mut attempts = 0_u32;
        loop {
            attempts = attempts.saturating_add(1);
            match self.transport.connect().await {
                Ok(connected) => {
                    *self.heartbeat.refused.lock() = None;
                    return (connected, attempts);
                }
                Err(why) => {
                    let refused = why.is_rejection().then(|| refusal(&why));
                    *self.heartbeat.refused.lock() = refused;
                    if let Some(lasts) = outage.warning(Instant::now()) {
                        tracing::warn!(
                            node = %self.node,
                            namespace = self.namespace.name(),
                            address = self.health.address,
                            ?lasts,
                            why = %report(&why),
                            "cannot connect, trying again"
                        );
                    }
                    self.health.disconnected(report(&why).to_string());
                }
            }
            sleep(delays.next()).await;
        }
    }
}

/// The reason for which sends fail while Redis rejects this bus.
fn refusal(why: &ConnectError) -> SendFailure {
    let text = report(why).to_string().into();
    if why.is_denied() {
        SendFailure::Denied(text)
    } else {
        SendFailure::Refused(text)
    }
}

/// The state of one connection.
struct State {
    /// The time at which something was last received.
    received: Instant,
    /// The time of the last heartbeat.
    asked: Instant,
    /// The silence before the next heartbeat.
    pause: Duration,
    /// The time at which the send half was connected.
    sends_since: Instant,
    /// True until the first echo over a replaced send half.
    is_unproven: bool,
}

impl State {
    fn new(now: Instant, pause: Duration) -> Self {
        Self {
            received: now,
            asked: now,
            pause,
            sends_since: now,
            is_unproven: false,
        }
    }
}

/// Closes the receiving side of the bus when the task ends or is dropped with its runtime.
impl Drop for ReceiveTask {
    fn drop(&mut self) {
        self.keyspace
            .set(Err(SendFailure::of_end(*self.stage.borrow())));
        self.receiver.window.stop();
        self.health.connection.send_replace(Connection::Closed);
        self.health.level.set(0);
        let dispatcher = &self.receiver.dispatcher;
        for subscription in dispatcher.clear() {
            subscription.drain();
        }
        dispatcher.requests.close();
    }
}
