//! A frame in the outgoing queue, and its result, which the callers of its sends await.

use std::mem::replace;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use tidings_codec::{Format, FrameWriter, NodeId};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::event::position::JournalPosition;
use crate::send::given_up::{GivenUpEvents, GivenUpFrame};
use crate::task::mutex::Mutex;

/// A frame without sequence numbers yet.
#[derive(Debug)]
pub(crate) struct OpenFrame {
    pub(crate) writer: FrameWriter,
    /// Milliseconds since 1970: one time for all events of a frame.
    pub(crate) at: u64,
    pub(crate) meta: FrameMeta,
}

/// The data with which a frame is resolved.
#[derive(Debug)]
pub(crate) struct FrameMeta {
    pub(crate) since: Instant,
    pub(crate) bytes: usize,
    pub(crate) events: u64,
    pub(crate) pending: Arc<FrameResult>,
    /// The indices of events that no caller awaits.
    pub(crate) fed: Vec<Range<u32>>,
}

/// The outcome of a frame, once there is one.
#[derive(Debug)]
pub(crate) struct FrameResult {
    outcome: OnceLock<Outcome>,
    resolved: Notify,
    unawaited: Mutex<Unawaited>,
    given_up: Arc<GivenUpEvents>,
}

/// The events of a frame whose send was cancelled. One lock decides if such an event is reported
/// with the frame or on its own: never both, never neither.
#[derive(Debug)]
enum Unawaited {
    /// The frame may still be given up: these events are reported with it.
    Waiting(Vec<u32>),
    /// The frame was given up: an event whose send is cancelled from now on is reported on its own.
    GivenUp(GivenUpFrame),
}

/// The outcome of a frame.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Sent {
        first: u64,
        receivers: Option<u64>,
        /// In the journal, if the frame was sent there.
        position: Option<JournalPosition>,
    },
    Failed(Unconfirmed),
}

impl FrameResult {
    fn new(given_up: Arc<GivenUpEvents>) -> Self {
        Self {
            outcome: OnceLock::new(),
            resolved: Notify::new(),
            unawaited: Mutex::new(Unawaited::Waiting(Vec::new())),
            given_up,
        }
    }

    pub(crate) async fn outcome(&self) -> Outcome {
        loop {
            let resolved = self.resolved.notified();
            if let Some(outcome) = self.outcome.get() {
                return outcome.clone();
            }
            resolved.await;
        }
    }

    /// The send of this event was cancelled. If the frame fails, the event is reported as a fed one.
    pub(crate) fn nobody_waits(&self, index: u32) {
        let given_up = match &mut *self.unawaited.lock() {
            Unawaited::Waiting(unawaited) => {
                unawaited.push(index);
                return;
            }
            Unawaited::GivenUp(given_up) => given_up.clone(),
        };
        self.given_up.report(&given_up, &[index]);
    }

    /// Reports the events of a given-up frame that no caller awaits: the fed ones, and those whose
    /// send was cancelled. The other callers get the error from [`resolve`](Self::resolve).
    pub(crate) fn give_up(&self, given_up: &GivenUpFrame, fed: &[Range<u32>]) {
        let mut unawaited: Vec<u32> = fed.iter().cloned().flatten().collect();
        let before = replace(
            &mut *self.unawaited.lock(),
            Unawaited::GivenUp(given_up.clone()),
        );
        if let Unawaited::Waiting(mut abandoned) = before {
            unawaited.append(&mut abandoned);
        }
        self.given_up.report(given_up, &unawaited);
    }

    pub(crate) fn resolve(&self, outcome: Outcome) {
        // The first outcome counts.
        if self.outcome.set(outcome).is_ok() {
            self.resolved.notify_waiters();
        }
    }
}

/// The place of an event in a frame.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The result of the frame, if the caller awaits it.
    pub(crate) awaited: Option<Arc<FrameResult>>,
    pub(crate) index: u32,
    /// True if this event filled the frame.
    pub(crate) has_closed: bool,
}

impl OpenFrame {
    pub(crate) fn new(
        format: Format,
        me: NodeId,
        buffer: Vec<u8>,
        given_up: &Arc<GivenUpEvents>,
    ) -> Self {
        let writer = FrameWriter::with_buffer(format, me, buffer);
        let meta = FrameMeta {
            since: Instant::now(),
            bytes: 0,
            events: 0,
            pending: Arc::new(FrameResult::new(Arc::clone(given_up))),
            fed: Vec::new(),
        };
        let at = now_ms();
        Self { writer, at, meta }
    }
}

impl Drop for FrameMeta {
    /// Resolves a frame that was lost in a panic, so that no caller waits for ever.
    fn drop(&mut self) {
        let why = Unconfirmed::Unknown(SendFailure::Closed);
        self.pending.resolve(Outcome::Failed(why));
    }
}

impl FrameMeta {
    #[inline]
    pub(crate) fn feed(&mut self, index: u32) {
        match self.fed.last_mut() {
            Some(last) if last.end == index => last.end += 1,
            _ => self.fed.push(index..index + 1),
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tidings_codec::{NewEvent as Event, To};

    use super::*;
    use crate::error::send::FlushError;
    use crate::observe::health::Counts;
    use crate::observe::reports::Reports;

    /// A frame of this many events, and the reports of those that no caller awaits.
    fn open(events: u32) -> (OpenFrame, Arc<GivenUpEvents>) {
        let reports = Reports::new(Arc::new(Counts::new()));
        let given_up = Arc::new(GivenUpEvents::new(Arc::new(reports)));
        let mut open = OpenFrame::new(Format::Json, NodeId::new(1), Vec::new(), &given_up);
        for _ in 0..events {
            let event = Event {
                name: "tick",
                to: To::All,
                at: None,
                meta: &[],
            };
            let write = |encoder: tidings_codec::Encoder<'_>| encoder.encode(&1);
            open.writer.push(event, write).unwrap();
        }
        (open, given_up)
    }

    fn unconfirmed() -> Unconfirmed {
        Unconfirmed::NotSent(SendFailure::Unreachable)
    }

    fn given_up_frame(open: OpenFrame) -> (GivenUpFrame, FrameMeta) {
        let given_up = GivenUpFrame {
            frame: open.writer.finish(1),
            first: Some(1),
            why: unconfirmed(),
        };
        (given_up, open.meta)
    }

    fn reported(given_up: &GivenUpEvents) -> Vec<u64> {
        let error = given_up.take().err();
        let undelivered = error.iter().flat_map(FlushError::undelivered);
        undelivered.map(|one| one.sequence.unwrap()).collect()
    }

    #[test]
    fn an_event_of_a_cancelled_send_is_reported_once_before_or_after_the_outcome() {
        let (open, given_up) = open(4);
        let (frame, meta) = given_up_frame(open);
        let pending = &meta.pending;

        pending.nobody_waits(1);
        assert!(reported(&given_up).is_empty());
        pending.give_up(&frame, std::slice::from_ref(&(0..1)));
        assert_eq!(reported(&given_up), [1, 2]);
        // Given up, and not resolved yet.
        pending.nobody_waits(2);
        assert_eq!(reported(&given_up), [3]);
        pending.resolve(Outcome::Failed(unconfirmed()));
        pending.nobody_waits(3);
        assert_eq!(reported(&given_up), [4]);
    }

    #[test]
    fn sent_events_are_not_reported() {
        let (open, given_up) = open(2);
        let (_, meta) = given_up_frame(open);
        meta.pending.nobody_waits(0);
        meta.pending.resolve(Outcome::Sent {
            first: 1,
            receivers: None,
            position: None,
        });
        meta.pending.nobody_waits(1);
        assert!(reported(&given_up).is_empty());
    }

    #[test]
    fn each_event_is_reported_once_when_cancelling_and_giving_up_race() {
        for _ in 0..200 {
            let (open, given_up) = open(64);
            let (frame, meta) = given_up_frame(open);
            let pending = &meta.pending;
            thread::scope(|scope| {
                scope.spawn(|| (0..64).for_each(|index| pending.nobody_waits(index)));
                scope.spawn(|| pending.give_up(&frame, &[]));
            });
            let mut reported = reported(&given_up);
            reported.sort_unstable();
            assert!(reported.into_iter().eq(1..=64));
        }
    }
}
