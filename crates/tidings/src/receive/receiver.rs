//! Checks the sequence numbers of received frames and passes their events to subscriptions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidings_codec::{EventError, Header, Limits, NodeId, RawEvent, To, read_frame};
use tokio::time::Instant;

use crate::error::failure::Failure;
use crate::error::gap::{Gap, GapReason};
use crate::event::name::is_control_event;
use crate::event::numbers::Numbers;
use crate::event::position::Journaled;
use crate::observe::health::Counts;
use crate::observe::metrics::Frames;
use crate::observe::reports::Reports;
use crate::observe::tap::{Contents, TappedFrame};
use crate::receive::batch::{Batch, Unfinished};
use crate::receive::dispatch::Dispatcher;
use crate::receive::holes::Holes;
use crate::receive::merged::Merged;
use crate::receive::queue::{Overflow, Push};
use crate::receive::remembered::Remembered;
use crate::receive::room::{WaitBudget, Waiting};
use crate::receive::sequence::Sequences;
use crate::receive::sequence::expected::{Numbered, Verdict};
use crate::receive::sorter::{Arrived, Handing, Sorter};
use crate::receive::subscription::SubscriptionSlot;
use crate::send::window::{SendWindow, Sent};

/// The minimum time between two reports of forged frames.
const FORGED: Duration = Duration::from_secs(10);

/// The minimum time between two reports of forgotten senders.
const LOST_TRACK: Duration = Duration::from_secs(1);

/// The treatment of a frame of the journal.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) journaled: Option<Journaled>,
    /// The count of numbers before the next one of a sender that count as received.
    pub(crate) known: u64,
    pub(crate) handing: Handing,
    /// The nodes that read for the durable name before: what was sent to them alone is reported.
    pub(crate) predecessors: Option<Arc<[NodeId]>>,
    /// Dropped with the last event of the frame in any queue.
    pub(crate) unfinished: Option<Unfinished>,
}

/// Takes in frames, reports gaps, and fills the queues of subscriptions.
#[derive(Debug)]
pub(crate) struct Receiver {
    me: NodeId,
    sequences: Sequences,
    sorter: Sorter,
    events: Vec<Result<RawEvent, EventError>>,
    limits: Limits,
    wait_budget: WaitBudget,
    frames: Frames,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) window: Arc<SendWindow>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) counts: Arc<Counts>,
    /// The members, whose sequence numbers are never forgotten.
    remembered: Arc<Remembered>,
    /// Frames of foreign programs under this node's id.
    forged: Merged,
    /// Senders that were forgotten.
    lost_track: Merged,
    /// The reasons of holes in the numbers of senders, in the journal.
    pub(crate) holes: Holes,
    /// The treatment of the current frame, if it is one of the journal.
    reading: Reading,
    /// True if events wait for room without a limit.
    pub(crate) waits_without_limit: bool,
    /// The numbers of the last frame, if it has some, and whether they were new.
    numbered: Option<(Numbers, bool)>,
    /// The time of the last own echo.
    pub(crate) echoed: Instant,
    /// The number of received frames.
    pub(crate) count: u64,
}

impl Receiver {
    pub(crate) fn new(
        me: NodeId,
        dispatcher: Arc<Dispatcher>,
        window: Arc<SendWindow>,
        reports: Arc<Reports>,
        counts: Arc<Counts>,
        remembered: Arc<Remembered>,
        may_be_late: bool,
    ) -> Self {
        let now = Instant::now();
        let mut sequences = Sequences::with_late_frames(may_be_late);
        // The own numbers begin at 1.
        sequences.join(me, now);
        Self {
            me,
            sequences,
            sorter: Sorter::new(me, &dispatcher, &reports),
            events: Vec::new(),
            limits: Limits::default(),
            wait_budget: WaitBudget::default(),
            frames: Frames::received(),
            dispatcher,
            window,
            reports,
            counts,
            remembered,
            forged: Merged::new(FORGED),
            lost_track: Merged::new(LOST_TRACK),
            holes: Holes::default(),
            reading: Reading::default(),
            waits_without_limit: false,
            numbered: None,
            echoed: now,
            count: 0,
        }
    }

    /// Forgets the numbers of all senders: frames are read again from an earlier position.
    pub(crate) fn forget_numbers(&mut self) {
        self.sequences = Sequences::default();
        self.holes = Holes::default();
    }

    /// Returns the next expected number of each sender.
    pub(crate) fn next_numbers(&self) -> impl Iterator<Item = (NodeId, u64)> {
        self.sequences.next_numbers()
    }

    /// Takes in one frame of the journal, as [`receive`](Self::receive). Returns the numbers of the
    /// frame, if it has some, and whether they were new.
    pub(crate) async fn receive_entry(
        &mut self,
        frame: Bytes,
        reading: Reading,
    ) -> Option<(Numbers, bool)> {
        self.reading = reading;
        self.numbered = None;
        self.sequences.set_known(self.reading.known);
        self.receive(frame).await;
        self.reading.unfinished = None;
        if let Some((numbers, true)) = self.numbered {
            self.holes.saw(numbers.sender);
        }
        self.numbered
    }

    /// Takes in one frame. Waits only for room in full queues, within the wait budget.
    pub(crate) async fn receive(&mut self, frame: Bytes) {
        let echo = self.window.receive(&frame);
        let is_echo = echo.is_some();
        self.count += 1;
        if is_echo {
            self.echoed = Instant::now();
        }
        self.take_in(frame, echo).await;
        if is_echo {
            self.window.handed_over();
        }
    }

    async fn take_in(&mut self, frame: Bytes, echo: Option<Sent>) {
        let is_echo = echo.is_some();
        if let Some(echo) = echo
            && self.dispatcher.is_empty()
            // A request to all is answered by this node too.
            && !self.dispatcher.requests.is_any_open()
            && !self.reports.taps.is_any()
        {
            return self.skip(&frame, &echo);
        }
        let header = match read_frame(&frame, &self.limits, &mut self.events) {
            Ok(header) => header,
            Err(source) => {
                if self.reports.taps.is_any() {
                    self.tap(&frame, Contents::Unreadable(source));
                }
                return self.reports.unreadable(Failure::Frame {
                    bytes: frame.len(),
                    source,
                });
            }
        };
        let events = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        let sent = events - self.announced(header, &frame);
        self.frames.add(frame.len(), sent);
        if !self.is_wanted(header, &frame, events, is_echo) {
            return;
        }
        Counts::add(&self.counts.received, u64::from(sent));
        if events > 0 {
            if self.reports.taps.is_any() {
                self.tap(&frame, Contents::Events(header, self.events.clone()));
            }
            self.dispatch(header, &frame).await;
        }
    }

    /// Shows a frame to the taps.
    #[cold]
    fn tap(&self, frame: &Bytes, contents: Contents) {
        // The others were shown when this bus was not the reader of its durable name.
        if matches!(self.reading.handing, Handing::All | Handing::Addressed) {
            let journaled = self.reading.journaled;
            let frame = TappedFrame::new(frame, journaled, contents);
            self.reports.taps.frame(frame);
        }
    }

    /// Skips an own frame that no handler wants.
    fn skip(&mut self, frame: &Bytes, echo: &Sent) {
        self.frames.add(frame.len(), echo.events);
        let numbered = Numbered {
            first: echo.first,
            events: echo.events,
            bytes: frame,
            is_dated: true,
            // The own numbers never begin again.
            at: u64::MAX,
        };
        if self.is_new(self.me, numbered) {
            Counts::add(&self.counts.received, u64::from(echo.events));
        }
    }

    /// Returns true for a frame without numbers, or with new ones.
    fn is_wanted(&mut self, header: Header, frame: &Bytes, events: u32, is_echo: bool) -> bool {
        let (Some(from), Some(first)) = (header.from, header.seq) else {
            return true;
        };
        let at = match self.events.first() {
            Some(Ok(event)) => event.at,
            _ => 0,
        };
        let numbered = Numbered {
            first,
            events,
            bytes: frame,
            is_dated: at > 0,
            at,
        };
        let is_new = self.is_new(from, numbered);
        let journaled = self.reading.journaled;
        let is_replayed = journaled.is_some_and(|journaled| journaled.is_replayed);
        if from == self.me && !is_echo && !is_replayed {
            self.look_for_forgery(first, events, is_new);
        }
        is_new
    }

    /// Puts the events of a frame into the queues of subscriptions.
    async fn dispatch(&mut self, header: Header, frame: &Bytes) {
        if let Some(predecessors) = &self.reading.predecessors {
            self.report_predecessors(predecessors, header, frame);
        }
        let reports = &self.reports;
        let arrived = Arrived {
            bytes: frame,
            header,
            journaled: self.reading.journaled,
            unfinished: self.reading.unfinished.as_ref(),
            handing: self.reading.handing,
            events: &mut self.events,
        };
        let batches = self.sorter.sort(arrived, |source| {
            reports.unreadable(Failure::Event {
                sender: header.from,
                source,
            });
        });
        let mut waiting = Vec::new();
        for (subscription, batch) in batches {
            if let Some(rest) = self.hand_over(&subscription, batch) {
                waiting.push((subscription, rest));
            }
        }
        if !waiting.is_empty() {
            self.wait_for_room(waiting).await;
        }
    }

    /// Reports the events that only a former reader of the durable name would have handled.
    #[cold]
    fn report_predecessors(&self, predecessors: &[NodeId], header: Header, frame: &[u8]) {
        for node in predecessors {
            let is_its = |event: &&RawEvent| {
                event.to == To::Node(*node) && !is_control_event(event.name_bytes(frame))
            };
            let events = self.events.iter().flatten().filter(is_its).count();
            if events > 0 {
                self.reports.gap(&Gap {
                    sender: header.from,
                    missed: Some(events as u64),
                    reason: GapReason::Predecessor { node: *node },
                });
            }
        }
    }

    /// Returns true if a part of the process waits for frames. Otherwise they can be received later.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.dispatcher.is_empty()
            || self.dispatcher.control.has_listeners()
            || self.reports.has_gap_handlers()
            || self.reports.taps.is_any()
            || self.window.is_awaited()
    }

    /// The number of control events that a script in Redis published: they have no sender.
    fn announced(&self, header: Header, frame: &[u8]) -> u32 {
        if header.seq.is_some() {
            return 0;
        }
        let is_announced = |event: &RawEvent| is_control_event(event.name_bytes(frame));
        let announced = self
            .events
            .iter()
            .flatten()
            .filter(|event| is_announced(event));
        u32::try_from(announced.count()).unwrap_or(u32::MAX)
    }

    /// Returns true if the frame was not received before. Missing events are reported as a gap.
    fn is_new(&mut self, from: NodeId, frame: Numbered<'_>) -> bool {
        let (now, events) = (Instant::now(), frame.events);
        let verdict = self.sequences.receive(from, frame, now);
        match verdict {
            Verdict::Next => {}
            Verdict::Repeated => Counts::add(&self.counts.duplicate, u64::from(events)),
            Verdict::Missed(missed) => self.missed(Some(from), Some(missed)),
            Verdict::Restarted => self.missed(Some(from), None),
        }
        if self.sequences.needs_attention() {
            self.attend(now);
        }
        let is_new = verdict != Verdict::Repeated;
        let (sender, first) = (from, frame.first);
        let numbers = Numbers {
            sender,
            first,
            events,
        };
        self.numbered = Some((numbers, is_new));
        is_new
    }

    fn missed(&self, sender: Option<NodeId>, missed: Option<u64>) {
        let reason = sender.map(|sender| self.holes.reason(sender));
        self.reports.gap(&Gap {
            sender,
            missed,
            reason: reason.unwrap_or(GapReason::Missed),
        });
    }

    /// Handles more senders than can be remembered.
    #[cold]
    fn attend(&mut self, now: Instant) {
        if self.sequences.queries_members()
            && let Some(members) = self.remembered.ask()
        {
            self.sequences.set_members(self.me, members);
        }
        if self.sequences.has_lost_track() {
            self.lost_track.add();
            self.report(now);
        }
    }

    /// Checks a frame under this node's id that is not an expected echo.
    #[cold]
    fn look_for_forgery(&mut self, first: u64, events: u32, is_new: bool) {
        let now = Instant::now();
        if is_new && self.window.is_forged(first, events) {
            self.window.claim(first.saturating_add(u64::from(events)));
            self.forged.add();
            self.report(now);
        } else if events == 0 {
            // A frame without events states the own position; it is not in the send window.
            self.echoed = now;
        }
    }

    /// The time of the next [`report`](Self::report), if one is pending.
    pub(crate) fn next_report(&self) -> Option<Instant> {
        let now = Instant::now();
        [self.forged.due(now), self.lost_track.due(now)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Makes the merged reports that are due.
    pub(crate) fn report(&mut self, now: Instant) {
        if let Some(frames) = self.forged.take(now) {
            self.reports.failure(Failure::Forged { frames });
        }
        if self.lost_track.take(now).is_some() {
            self.missed(None, None);
        }
    }

    /// Pushes a batch to a queue. Returns what has to wait for room.
    fn hand_over(&self, subscription: &SubscriptionSlot, batch: Batch) -> Option<Batch> {
        if subscription.options.overflow == Overflow::DropOldest {
            let dropped = subscription.queue.push_dropping_oldest(batch);
            // The dropped events may be of several senders.
            overflowed(&self.reports, subscription, None, dropped);
            return None;
        }
        let from = batch.from;
        match subscription.queue.push(batch) {
            Push::NoRoom(rest) if subscription.options.overflow == Overflow::Block => {
                return Some(rest);
            }
            // Another receiver, whose wait is limited, found the queue full.
            Push::Stuck(rest) if self.waits_without_limit => return Some(rest),
            Push::NoRoom(rest) | Push::Stuck(rest) => {
                overflowed(&self.reports, subscription, from, count(&rest));
            }
            Push::Done => {}
        }
        None
    }

    async fn wait_for_room(&mut self, waiting: Vec<Waiting>) {
        let reports = &self.reports;
        let drop = |subscription: &SubscriptionSlot, rest: Batch| {
            overflowed(reports, subscription, rest.from, count(&rest));
        };
        let is_limited = !self.waits_without_limit;
        let node = self.me;
        let report = |subscription: &SubscriptionSlot, waited: Duration| {
            let handler = &*subscription.handler;
            tracing::warn!(%node, handler, ?waited, "a full queue holds up the journal of this bus");
        };
        let budget = &mut self.wait_budget;
        budget.wait(waiting, is_limited, drop, report).await;
    }
}

/// Reports events that did not fit the queue of a handler.
fn overflowed(
    reports: &Reports,
    subscription: &SubscriptionSlot,
    sender: Option<NodeId>,
    events: u64,
) {
    if events == 0 {
        return;
    }
    reports.gap(&Gap {
        sender,
        missed: Some(events),
        reason: GapReason::Overflow {
            handler: Arc::clone(&subscription.handler),
        },
    });
}

fn count(batch: &Batch) -> u64 {
    batch.events.len() as u64
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::atomic::Ordering;

    use tidings_codec::Format;
    use tokio::runtime::Handle;

    use super::*;
    use crate::observe::tap::{Entry, TapBounds, TapQueue};
    use crate::request::pending::PendingRequests;
    use crate::send::outgoing::{Outgoing, Settings};

    const ME: NodeId = NodeId::new(1);

    fn receiver() -> Receiver {
        let counts = Arc::new(Counts::new());
        let reports = Arc::new(Reports::new(Arc::clone(&counts)));
        let settings = Settings {
            limit: 0,
            timeout: Duration::ZERO,
            is_volatile: true,
        };
        let outgoing = Outgoing::new(ME, Format::Json, settings, Arc::clone(&reports));
        let requests = PendingRequests::new(Arc::new(outgoing), Handle::current());
        let dispatcher = Arc::new(Dispatcher::new(Arc::new(requests)));
        let (window, remembered) = (Arc::default(), Arc::default());
        Receiver::new(ME, dispatcher, window, reports, counts, remembered, false)
    }

    async fn receive(receiver: &mut Receiver, from: u128, seq: u64) {
        receiver.receive(frame(NodeId::new(from), seq)).await;
    }

    /// A frame of one event.
    fn frame(from: NodeId, seq: u64) -> Bytes {
        format!(r#"{{"v":1,"from":"{from}","seq":{seq},"events":[{{"event":"x"}}]}}"#).into()
    }

    /// Receives the first event of each sender.
    async fn receive_crowd(receiver: &mut Receiver, senders: Range<u128>) {
        for sender in senders {
            receive(receiver, sender, 1).await;
        }
    }

    #[tokio::test]
    async fn frames_are_awaited_while_there_is_a_tap() {
        let mut receiver = receiver();
        let bounds = TapBounds {
            items: 1,
            bytes: 100,
        };
        let tap = Arc::new(TapQueue::new(bounds));
        assert!(!receiver.is_awaited());
        receiver.reports.taps.add(Arc::clone(&tap));
        assert!(receiver.is_awaited());

        receive(&mut receiver, 7, 1).await;
        receiver.reports.taps.remove(&tap);
        receive(&mut receiver, 7, 2).await;

        assert!(!receiver.is_awaited());
        let next = std::future::poll_fn(|cx| tap.poll_next(cx)).await;
        assert!(matches!(next, Some(Entry::Frame { items: 1, .. })));
        let cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(tap.poll_next(&cx).is_pending());
    }

    #[tokio::test]
    async fn own_first_events_that_do_not_come_back_are_a_gap() {
        let mut receiver = receiver();
        let frame = frame(ME, 3);
        receiver.window.sent(Sent::new(3, 1, &frame));

        receiver.receive(frame).await;

        assert_eq!(receiver.counts.missed.sum(), 2);
        assert_eq!(receiver.counts.received.sum(), 1);
    }

    #[tokio::test]
    async fn forgotten_senders_are_reported_together_as_a_gap_of_unknown_size() {
        let mut receiver = receiver();

        receive_crowd(&mut receiver, 100..10_000).await;

        let reported = receiver.counts.gaps.load(Ordering::Relaxed);
        assert!((1..100).contains(&reported), "{reported} gaps");
        assert_eq!(receiver.counts.missed.sum(), 0);
        receiver.report(Instant::now() + LOST_TRACK);
        assert_eq!(receiver.counts.gaps.load(Ordering::Relaxed), reported + 1);
    }

    #[tokio::test]
    async fn members_are_remembered_when_other_senders_are_forgotten() {
        let mut receiver = receiver();
        let (member, other) = (50, 51);
        receiver.remembered.know([NodeId::new(member)]);
        receive_crowd(&mut receiver, member..10_000).await;

        receive(&mut receiver, other, 5).await;
        assert_eq!(receiver.counts.missed.sum(), 0);
        receive(&mut receiver, member, 5).await;
        assert_eq!(receiver.counts.missed.sum(), 3);
    }
}
