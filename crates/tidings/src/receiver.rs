//! What is heard: frame -> numbers -> subscriptions.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tidings_codec::{EventError, Header, Limits, NodeId, RawEvent, read_frame};

use crate::dispatch::{Arrived, Dispatcher, Sorter};
use crate::echo::{Echoes, Sent};
use crate::failure::{Failure, Gap, GapReason};
use crate::health::Counts;
use crate::metrics::Frames;
use crate::notices::is_notice;
use crate::queue::{Push, WhenFull};
use crate::reports::Reports;
use crate::room::{Patience, Waiting};
use crate::sequence::{Sequences, Verdict};
use crate::subscription::{Batch, Seat};

/// Judges frames and hands their events over.
#[derive(Debug)]
pub(crate) struct Receiver {
    me: NodeId,
    sequences: Sequences,
    sorter: Sorter,
    events: Vec<Result<RawEvent, EventError>>,
    limits: Limits,
    patience: Patience,
    frames: Frames,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) echoes: Arc<Echoes>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) counts: Arc<Counts>,
    /// When a frame of our own came back last.
    pub(crate) echoed: Instant,
    /// How many frames there were.
    pub(crate) count: u64,
}

impl Receiver {
    pub(crate) fn new(
        me: NodeId,
        dispatcher: Arc<Dispatcher>,
        echoes: Arc<Echoes>,
        reports: Arc<Reports>,
        counts: Arc<Counts>,
    ) -> Self {
        let now = Instant::now();
        let mut sequences = Sequences::default();
        // Of ourselves we know that we begin at 1.
        sequences.join(me, now);
        Self {
            me,
            sequences,
            sorter: Sorter::new(me, &dispatcher),
            events: Vec::new(),
            limits: Limits::default(),
            patience: Patience::default(),
            frames: Frames::heard(),
            dispatcher,
            echoes,
            reports,
            counts,
            echoed: now,
            count: 0,
        }
    }

    /// Takes in one frame. It waits only for room in a full queue, and not for long.
    pub(crate) async fn receive(&mut self, frame: Bytes) {
        let echo = self.echoes.hear(&frame);
        let is_echo = echo.is_some();
        self.count += 1;
        if is_echo {
            self.echoed = Instant::now();
        }
        self.take_in(frame, echo).await;
        if is_echo {
            self.echoes.handed_over();
        }
    }

    async fn take_in(&mut self, frame: Bytes, echo: Option<Sent>) {
        if let Some(echo) = echo
            && self.dispatcher.is_empty()
            // Our own answer to what we asked is one of all.
            && !self.dispatcher.asks.is_any_open()
        {
            self.frames.add(frame.len(), echo.events);
            let known = self.judge(self.me, echo.first, echo.events);
            Counts::add(&self.counts.heard, u64::from(echo.events - known));
            return;
        }
        let header = match read_frame(&frame, &self.limits, &mut self.events) {
            Ok(header) => header,
            Err(source) => {
                return self.reports.unreadable(Failure::Frame {
                    bytes: frame.len(),
                    source,
                });
            }
        };
        if header.from == Some(self.me) {
            // Our position, which has no event, is known by its sender alone.
            self.echoed = Instant::now();
        }
        let events = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        let announced = self.announced(header, &frame);
        self.frames.add(frame.len(), events - announced);
        let known = match (header.from, header.seq) {
            (Some(from), Some(first)) => self.judge(from, first, events),
            _ => 0,
        };
        Counts::add(&self.counts.heard, u64::from(events - known - announced));
        if events == known {
            return;
        }
        let reports = &self.reports;
        let events = &mut self.events;
        let arrived = Arrived {
            bytes: &frame,
            header,
            events,
            known: known as usize,
        };
        let batches = self.sorter.sort(arrived, |source| {
            reports.unreadable(Failure::Event {
                from: header.from,
                source,
            });
        });
        let mut waiting = Vec::new();
        for (seat, batch) in batches {
            if let Some(rest) = self.hand_over(&seat, batch) {
                waiting.push((seat, rest));
            }
        }
        if !waiting.is_empty() {
            self.wait_for_room(waiting).await;
        }
    }

    /// How many of the events nobody sent: Redis announces what the parts of a bus keep there.
    fn announced(&self, header: Header, frame: &[u8]) -> u32 {
        if header.seq.is_some() {
            return 0;
        }
        let is_announced = |event: &RawEvent| is_notice(event.name_bytes(frame));
        let announced = self
            .events
            .iter()
            .flatten()
            .filter(|event| is_announced(event));
        u32::try_from(announced.count()).unwrap_or(u32::MAX)
    }

    /// How many of the events were heard before.
    fn judge(&mut self, from: NodeId, first: u64, events: u32) -> u32 {
        match self.sequences.receive(from, first, events, Instant::now()) {
            Verdict::Next => 0,
            Verdict::Repeated { known } => {
                Counts::add(&self.counts.repeated, u64::from(known));
                known
            }
            Verdict::Missed(missed) => self.missed(from, Some(missed)),
            Verdict::Restarted => self.missed(from, None),
        }
    }

    fn missed(&self, from: NodeId, missed: Option<u64>) -> u32 {
        self.reports.gap(&Gap {
            from: Some(from),
            missed,
            reason: GapReason::Skipped,
        });
        0
    }

    /// What has to wait for room.
    fn hand_over(&self, seat: &Seat, batch: Batch) -> Option<Batch> {
        if seat.handling.when_full == WhenFull::DropOldest {
            let dropped = seat.queue.push_dropping_oldest(batch);
            // Whose they were is not known.
            overflowed(&self.reports, seat, None, dropped);
            return None;
        }
        let from = batch.from;
        match seat.queue.push(batch) {
            Push::NoRoom(rest) if seat.handling.when_full == WhenFull::Wait => return Some(rest),
            Push::NoRoom(rest) | Push::Stuck(rest) => {
                overflowed(&self.reports, seat, from, count(&rest));
            }
            Push::Done => {}
        }
        None
    }

    async fn wait_for_room(&mut self, waiting: Vec<Waiting>) {
        let reports = &self.reports;
        let drop = |seat: &Seat, rest: Batch| overflowed(reports, seat, rest.from, count(&rest));
        self.patience.wait(waiting, drop).await;
    }
}

/// Events did not fit the queue of a handler.
fn overflowed(reports: &Reports, seat: &Seat, from: Option<NodeId>, events: u64) {
    if events == 0 {
        return;
    }
    reports.gap(&Gap {
        from,
        missed: Some(events),
        reason: GapReason::Overflow {
            handler: Arc::clone(&seat.handler),
        },
    });
}

fn count(batch: &Batch) -> u64 {
    batch.events.len() as u64
}
