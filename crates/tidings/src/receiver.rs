//! What is heard: frame -> numbers -> subscriptions.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tidings_codec::{EventError, Limits, NodeId, RawEvent, read_frame};
use tokio::time::timeout_at;

use crate::dispatch::{Arrived, Dispatcher, Sorter};
use crate::echo::{Echoes, Sent};
use crate::failure::{Failure, Gap, GapReason};
use crate::health::Counts;
use crate::queue::{Push, WhenFull};
use crate::reports::Reports;
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
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) echoes: Arc<Echoes>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) counts: Arc<Counts>,
}

impl Receiver {
    pub(crate) fn new(
        me: NodeId,
        dispatcher: Arc<Dispatcher>,
        echoes: Arc<Echoes>,
        reports: Arc<Reports>,
        counts: Arc<Counts>,
    ) -> Self {
        let mut sequences = Sequences::default();
        // Of ourselves we know that we begin at 1.
        sequences.join(me, Instant::now());
        Self {
            me,
            sequences,
            sorter: Sorter::new(me),
            events: Vec::new(),
            limits: Limits::default(),
            dispatcher,
            echoes,
            reports,
            counts,
        }
    }

    /// Takes in one frame. It waits only for room in a full queue, and not for long.
    pub(crate) async fn receive(&mut self, frame: Bytes) {
        let echo = self.echoes.hear(&frame);
        let is_echo = echo.is_some();
        self.take_in(frame, echo).await;
        if is_echo {
            self.echoes.handed_over();
        }
    }

    async fn take_in(&mut self, frame: Bytes, echo: Option<Sent>) {
        let table = self.dispatcher.table();
        if let Some(echo) = echo
            && table.is_empty()
        {
            let known = self.judge(self.me, echo.first, echo.events);
            Counts::add(&self.counts.heard, u64::from(echo.events - known));
            return;
        }
        let header = match read_frame(&frame, &self.limits, &mut self.events) {
            Ok(header) => header,
            Err(source) => {
                return self.reports.failure(Failure::Frame {
                    bytes: frame.len(),
                    source,
                });
            }
        };
        let events = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        let known = match (header.from, header.seq) {
            (Some(from), Some(first)) => self.judge(from, first, events),
            _ => 0,
        };
        Counts::add(&self.counts.heard, u64::from(events - known));
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
        let batches = self.sorter.sort(&table, arrived, |source| {
            reports.failure(Failure::Event {
                from: header.from,
                source,
            });
        });
        for (seat, batch) in batches {
            self.hand_over(&seat, batch).await;
        }
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
    let mut waiting = None;
    let dropped = loop {
        match push {
            Push::Done => break 0,
            Push::Stuck(rest) => break count(&rest),
            Push::NoRoom(rest) => {
                let (_, deadline) = *waiting.get_or_insert_with(|| {
                    let now = Instant::now();
                    (now, now + seat.queue.patience(now))
                });
                if timeout_at(deadline.into(), seat.queue.room())
                    .await
                    .is_err()
                {
                    seat.queue.is_stuck();
                    break count(&rest);
                }
                push = seat.queue.push(rest);
            }
        }
    };
    if let Some((since, _)) = waiting {
        seat.queue.waited(since.elapsed());
    }
    dropped
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
