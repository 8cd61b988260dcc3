//! What is heard: frame -> numbers -> subscriptions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidings_codec::{EventError, Header, Limits, NodeId, RawEvent, read_frame};
use tokio::time::timeout;

use crate::dispatch::{Arrived, Dispatcher, Sorter};
use crate::echo::{Echoes, Sent};
use crate::failure::{Failure, Gap, GapReason};
use crate::health::Counts;
use crate::metrics::Frames;
use crate::notices::is_notice;
use crate::queue::{Push, WhenFull};
use crate::reports::Reports;
use crate::sequence::{Sequences, Verdict};
use crate::subscription::{Batch, Seat};

/// How long a handler may take for an event on average without being called slow.
const BRISK: Duration = Duration::from_micros(100);

/// After this time at the latest it is seen how far a handler has come.
const WHILE: Duration = Duration::from_millis(100);

/// Judges frames and hands their events over.
#[derive(Debug)]
pub(crate) struct Receiver {
    me: NodeId,
    sequences: Sequences,
    sorter: Sorter,
    events: Vec<Result<RawEvent, EventError>>,
    limits: Limits,
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
        for (seat, batch) in batches {
            self.hand_over(&seat, batch).await;
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

    async fn hand_over(&self, seat: &Seat, batch: Batch) {
        let from = batch.from;
        let dropped = match seat.handling.when_full {
            WhenFull::Wait => wait_for_room(seat, batch).await,
            WhenFull::DropNewest => left_over(&seat.queue.push(batch)),
            WhenFull::DropOldest => seat.queue.push_dropping_oldest(batch),
        };
        if dropped > 0 {
            // Whose the dropped ones were is known only when the newest were dropped.
            let from = from.filter(|_| seat.handling.when_full != WhenFull::DropOldest);
            let reason = GapReason::Overflow {
                handler: Arc::clone(&seat.handler),
            };
            self.reports.gap(&Gap {
                from,
                missed: Some(dropped),
                reason,
            });
        }
    }
}

/// How many events there was no room for in the end.
async fn wait_for_room(seat: &Seat, batch: Batch) -> u64 {
    let mut push = seat.queue.push(batch);
    let mut patience = None;
    loop {
        match push {
            Push::Done => return 0,
            Push::Stuck(rest) => return count(&rest),
            Push::NoRoom(rest) => {
                let left = patience.get_or_insert_with(|| seat.queue.patience(Instant::now()));
                if left.is_zero() {
                    seat.queue.is_stuck();
                    return count(&rest);
                }
                let slow = wait_a_while(seat, *left).await;
                seat.queue.waited(slow);
                *left = left.saturating_sub(slow);
                push = seat.queue.push(rest);
            }
        }
    }
}

/// Waits for room, for a while; how long of it was due to a slow handler. One that is merely
/// overrun is waited for as long as it takes: that is how senders notice that they are too fast.
async fn wait_a_while(seat: &Seat, patience: Duration) -> Duration {
    let (since, before) = (Instant::now(), seat.begun());
    let _ = timeout(WHILE.min(patience), seat.queue.room()).await;
    slow(since.elapsed(), seat.begun() - before)
}

/// How much of a time counts as waiting for a slow handler, if it began with so many events.
fn slow(time: Duration, events: u64) -> Duration {
    let is_brisk = u128::from(events) * BRISK.as_nanos() >= time.as_nanos();
    if is_brisk { Duration::ZERO } else { time }
}

/// How many events did not fit.
fn left_over(push: &Push) -> u64 {
    match push {
        Push::Done => 0,
        Push::NoRoom(rest) | Push::Stuck(rest) => count(rest),
    }
}

fn count(batch: &Batch) -> u64 {
    batch.events.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_is_slow_that_takes_more_than_100_us_for_an_event() {
        assert_eq!(slow(WHILE, 1_000), Duration::ZERO);
        assert_eq!(slow(WHILE, 999), WHILE);
        assert_eq!(slow(WHILE, 0), WHILE);
        assert_eq!(slow(Duration::from_micros(30), 1), Duration::ZERO);
    }
}
