//! A frame that waits to be sent, and the fate that those who sent its events wait for.

use std::mem::replace;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tidings_codec::{Format, FrameWriter, NodeId};
use tokio::sync::Notify;

use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::send::given_up::{GivenUpEvents, GivenUpFrame};

/// A frame that does not know its numbers yet.
#[derive(Debug)]
pub(crate) struct OpenFrame {
    pub(crate) writer: FrameWriter,
    /// Milliseconds since 1970. One time for all events of a frame: it is written once.
    pub(crate) at: u64,
    pub(crate) about: FrameMeta,
}

/// What must be known of a frame to resolve it.
#[derive(Debug)]
pub(crate) struct FrameMeta {
    pub(crate) since: Instant,
    pub(crate) bytes: usize,
    pub(crate) events: u64,
    pub(crate) pending: Arc<FrameResult>,
    /// Which of its events nobody waits for.
    pub(crate) fed: Vec<Range<u32>>,
}

/// The fate of a frame, once it has one.
#[derive(Debug)]
pub(crate) struct FrameResult {
    outcome: OnceLock<Outcome>,
    resolved: Notify,
    unawaited: Mutex<Unawaited>,
    given_up: Arc<GivenUpEvents>,
}

/// The events of a frame whose sender stopped waiting. Whether one of them is reported with the
/// frame or on its own is decided under one lock: never both, never neither.
#[derive(Debug)]
enum Unawaited {
    /// The frame may still be given up: these are reported with it.
    Waiting(Vec<u32>),
    /// It was given up: an event whose sender stops waiting now, without having been told, is
    /// reported on its own.
    GivenUp(GivenUpFrame),
}

/// How a frame ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Sent { first: u64, receivers: Option<u64> },
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

    /// The sender of this event stopped waiting and was not told its why. If that is a bad one, it
    /// is reported as that of a fed event.
    pub(crate) fn nobody_waits(&self, index: u32) {
        let given_up = match &mut *self.lock_unawaited() {
            Unawaited::Waiting(unawaited) => {
                unawaited.push(index);
                return;
            }
            Unawaited::GivenUp(given_up) => given_up.clone(),
        };
        self.given_up.report(&given_up, &[index]);
    }

    /// Reports the events of a frame that is given up for which nobody waits: the fed ones, and those
    /// whose sender stopped waiting. The others are told when this is [resolved](Self::resolve).
    pub(crate) fn give_up(&self, given_up: &GivenUpFrame, fed: &[Range<u32>]) {
        let mut unawaited: Vec<u32> = fed.iter().cloned().flatten().collect();
        let before = replace(
            &mut *self.lock_unawaited(),
            Unawaited::GivenUp(given_up.clone()),
        );
        if let Unawaited::Waiting(mut abandoned) = before {
            unawaited.append(&mut abandoned);
        }
        self.given_up.report(given_up, &unawaited);
    }

    fn lock_unawaited(&self) -> MutexGuard<'_, Unawaited> {
        self.unawaited
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn resolve(&self, outcome: Outcome) {
        // The first fate counts.
        if self.outcome.set(outcome).is_ok() {
            self.resolved.notify_waiters();
        }
    }
}

/// A place in a frame.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Its why, for who waits for it.
    pub(crate) awaited: Option<Arc<FrameResult>>,
    pub(crate) index: u32,
    /// Whether the frame is full with it.
    pub(crate) has_closed: bool,
}

impl OpenFrame {
    pub(crate) fn new(
        format: Format,
        me: NodeId,
        capacity: usize,
        given_up: &Arc<GivenUpEvents>,
    ) -> Self {
        let writer = FrameWriter::with_capacity(format, me, capacity);
        let about = FrameMeta {
            since: Instant::now(),
            bytes: 0,
            events: 0,
            pending: Arc::new(FrameResult::new(Arc::clone(given_up))),
            fed: Vec::new(),
        };
        let at = now_ms();
        Self { writer, at, about }
    }
}

impl Drop for FrameMeta {
    /// A frame that got no fate was lost in a panic: nobody must be left waiting for it.
    fn drop(&mut self) {
        let why = Unconfirmed::Unknown(SendFailure::Closed);
        self.pending.resolve(Outcome::Failed(why));
    }
}

impl FrameMeta {
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

    /// A frame of so many events, and where those are reported that nobody waits for.
    fn open(events: u32) -> (OpenFrame, Arc<GivenUpEvents>) {
        let reports = Reports::new(Arc::new(Counts::new()));
        let given_up = Arc::new(GivenUpEvents::new(Arc::new(reports)));
        let mut open = OpenFrame::new(Format::Json, NodeId::new(1), 0, &given_up);
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
        (given_up, open.about)
    }

    fn reported(given_up: &GivenUpEvents) -> Vec<u64> {
        let error = given_up.take().err();
        let unsent = error.iter().flat_map(FlushError::undelivered);
        unsent.map(|one| one.sequence.unwrap()).collect()
    }

    #[test]
    fn whoever_stops_waiting_before_the_fate_or_after_it_is_reported_once() {
        let (open, given_up) = open(4);
        let (frame, about) = given_up_frame(open);
        let pending = &about.pending;

        pending.nobody_waits(1);
        assert!(reported(&given_up).is_empty());
        pending.give_up(&frame, std::slice::from_ref(&(0..1)));
        assert_eq!(reported(&given_up), [1, 2]);
        // It is decided, and nobody is told yet.
        pending.nobody_waits(2);
        assert_eq!(reported(&given_up), [3]);
        pending.resolve(Outcome::Failed(unconfirmed()));
        pending.nobody_waits(3);
        assert_eq!(reported(&given_up), [4]);
    }

    #[test]
    fn nothing_is_reported_of_what_was_sent() {
        let (open, given_up) = open(2);
        let (_, about) = given_up_frame(open);
        about.pending.nobody_waits(0);
        about.pending.resolve(Outcome::Sent {
            first: 1,
            receivers: None,
        });
        about.pending.nobody_waits(1);
        assert!(reported(&given_up).is_empty());
    }

    #[test]
    fn each_is_reported_once_however_the_two_race() {
        for _ in 0..200 {
            let (open, given_up) = open(64);
            let (frame, about) = given_up_frame(open);
            let pending = &about.pending;
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
