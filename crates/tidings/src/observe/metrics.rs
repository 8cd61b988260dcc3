//! Metrics for the recorder that the application installed. Handles are created once per bus or
//! handler, so that an event costs only additions.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ::metrics::{
    Counter as Total, Gauge, Histogram, Unit, describe_counter, describe_gauge, describe_histogram,
};

use crate::error::failure::{Failure, HandlerFailure};
use crate::error::gap::GapReason;
use crate::event::{Name, Names};

/// The label of a handler of all other events. No event can have this name.
const ANY_OTHER: &str = "*";

/// A counter.
#[derive(Debug)]
pub(crate) struct Counter(Total);

impl Counter {
    pub(crate) fn new(name: &'static str, what: &'static str) -> Self {
        describe_counter!(name, Unit::Count, what);
        Self(::metrics::counter!(name))
    }

    pub(crate) fn add(&self, more: u64) {
        self.0.increment(more);
    }
}

/// Counters of failures by kind.
#[derive(Debug)]
pub(crate) struct Failures(HashMap<&'static str, Total>);

impl Failures {
    pub(crate) fn new() -> Self {
        const NAME: &str = "tidings_failures_total";
        describe_counter!(NAME, Unit::Count, "failures, by their kind");
        let kinds = [
            "frame",
            "foreign_entry",
            "event",
            "payload",
            "handler",
            "send",
            "shared",
            "value_lost",
            "forged",
            "journal_mismatch",
        ];
        let counters = kinds.map(|kind| (kind, ::metrics::counter!(NAME, "kind" => kind)));
        Self(counters.into())
    }

    pub(crate) fn add(&self, failure: &Failure) {
        let (kind, count) = match failure {
            Failure::Invalidation { .. } | Failure::DropPanicked { .. } => ("shared", 1),
            Failure::Forged { frames } => ("forged", *frames),
            // The suppressed failures were counted when they occurred.
            Failure::Suppressed { .. } => return,
            other => (other.kind(), 1),
        };
        if let Some(counter) = self.0.get(kind) {
            counter.increment(count);
        }
    }
}

/// Counters of gaps by reason.
#[derive(Debug)]
pub(crate) struct Gaps {
    reconnected: Total,
    missed: Total,
    overflow: Total,
    trimmed: Total,
    journal_lost: Total,
    diverged: Total,
    predecessor: Total,
}

impl Gaps {
    pub(crate) fn new() -> Self {
        const NAME: &str = "tidings_gaps_total";
        describe_counter!(
            NAME,
            Unit::Count,
            "gaps that were reported, by their reason"
        );
        let of = |reason: &'static str| ::metrics::counter!(NAME, "reason" => reason);
        Self {
            reconnected: of("reconnected"),
            missed: of("missed"),
            overflow: of("overflow"),
            trimmed: of("trimmed"),
            journal_lost: of("journal_lost"),
            diverged: of("diverged"),
            predecessor: of("predecessor"),
        }
    }

    pub(crate) fn add(&self, reason: &GapReason) {
        let counter = match reason {
            GapReason::Reconnected => &self.reconnected,
            GapReason::Missed => &self.missed,
            GapReason::Overflow { .. } => &self.overflow,
            GapReason::Trimmed => &self.trimmed,
            GapReason::JournalLost => &self.journal_lost,
            GapReason::Diverged { .. } => &self.diverged,
            GapReason::Predecessor { .. } => &self.predecessor,
        };
        counter.increment(1);
    }
}

/// A gauge.
#[derive(Debug)]
pub(crate) struct Level {
    gauge: Gauge,
    /// The amount that one of its steps adds to the gauge.
    step: f64,
    /// The steps that were added.
    told: AtomicUsize,
}

/// A change of a level, in steps.
#[derive(Clone, Copy, Debug)]
#[must_use = "the gauge does not have it yet"]
pub(crate) struct Change {
    before: usize,
    now: usize,
}

/// The step of a time, in seconds. Sums of a power of two are exact, so that they return to 0.
const TICK: f64 = 1.0 / 1024.0;

impl Level {
    pub(crate) fn count(name: &'static str, what: &'static str) -> Self {
        describe_gauge!(name, Unit::Count, what);
        Self::new(::metrics::gauge!(name))
    }

    pub(crate) fn bytes(name: &'static str, what: &'static str) -> Self {
        describe_gauge!(name, Unit::Bytes, what);
        Self::new(::metrics::gauge!(name))
    }

    pub(crate) fn seconds(name: &'static str, what: &'static str) -> Self {
        describe_gauge!(name, Unit::Seconds, what);
        Self::in_steps(::metrics::gauge!(name), TICK)
    }

    /// Events in a handler's queue.
    pub(crate) fn of_queue(handler: &str) -> Self {
        const NAME: &str = "tidings_queue_events";
        describe_gauge!(NAME, Unit::Count, "events that wait for a handler");
        Self::new(::metrics::gauge!(NAME, "handler" => handler.to_owned()))
    }

    /// A gauge that is not recorded.
    pub(crate) fn of_nothing() -> Self {
        Self::new(Gauge::noop())
    }

    fn new(gauge: Gauge) -> Self {
        Self::in_steps(gauge, 1.0)
    }

    fn in_steps(gauge: Gauge, step: f64) -> Self {
        let told = AtomicUsize::new(0);
        Self { gauge, step, told }
    }

    /// Sets a gauge of a time.
    pub(crate) fn set_time(&self, time: Duration) {
        let ticks = time.as_millis().saturating_mul(1024) / 1000;
        self.set(usize::try_from(ticks).unwrap_or(usize::MAX));
    }

    pub(crate) fn set(&self, now: usize) {
        self.add(self.note(now));
    }

    /// Notes the level, and returns its change, to be added once no lock is held: the recorder is code of
    /// the application.
    pub(crate) fn note(&self, now: usize) -> Change {
        let before = self.told.swap(now, Ordering::Relaxed);
        Change { before, now }
    }

    /// Adds the change, because the buses and handlers of one process can share a gauge.
    pub(crate) fn add(&self, Change { before, now }: Change) {
        if now > before {
            self.gauge.increment(float(now - before) * self.step);
        } else if now < before {
            self.gauge.decrement(float(before - now) * self.step);
        }
    }
}

/// Subtracts the last value: a runtime may end before its bus does.
impl Drop for Level {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Frames with events, in one direction.
#[derive(Debug)]
pub(crate) struct Frames {
    frames: Total,
    bytes: Histogram,
    events: Histogram,
}

impl Frames {
    pub(crate) fn sent() -> Self {
        describe_counter!("tidings_frames_sent_total", Unit::Count, "frames sent");
        Self::new(
            "tidings_frames_sent_total",
            "tidings_frames_sent_bytes",
            "tidings_frames_sent_events",
        )
    }

    pub(crate) fn received() -> Self {
        describe_counter!(
            "tidings_frames_received_total",
            Unit::Count,
            "frames with events that were received"
        );
        Self::new(
            "tidings_frames_received_total",
            "tidings_frames_received_bytes",
            "tidings_frames_received_events",
        )
    }

    fn new(frames: &'static str, bytes: &'static str, events: &'static str) -> Self {
        describe_histogram!(bytes, Unit::Bytes, "their sizes");
        describe_histogram!(events, Unit::Count, "their events");
        Self {
            frames: ::metrics::counter!(frames),
            bytes: ::metrics::histogram!(bytes),
            events: ::metrics::histogram!(events),
        }
    }

    /// A frame without events announces a position, and is not counted.
    pub(crate) fn add(&self, bytes: usize, events: u32) {
        if events > 0 {
            self.frames.increment(1);
            self.bytes.record(float(bytes));
            self.events.record(f64::from(events));
        }
    }
}

/// The calls of one handler, by event name and outcome.
#[derive(Debug)]
pub(crate) struct Calls {
    // Foreign programs can choose event names: only names that a handler names become labels.
    by_name: HashMap<Box<str>, Times, foldhash::fast::RandomState>,
    others: Option<Times>,
}

#[derive(Debug)]
struct Times {
    ok: Histogram,
    failed: Histogram,
    panicked: Histogram,
    timed_out: Histogram,
}

/// The start time of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Began(Instant);

impl Calls {
    pub(crate) fn new(names: &Names) -> Self {
        let times = |name: &Name| (Box::from(&*name.name), Times::new(&name.name));
        Self {
            by_name: names.list.iter().map(times).collect(),
            others: names.other.then(|| Times::new(ANY_OTHER)),
        }
    }

    pub(crate) fn begin() -> Began {
        Began(Instant::now())
    }

    pub(crate) fn end(&self, began: Began, name: &str, failure: Option<&HandlerFailure>) {
        let Some(times) = self.by_name.get(name).or(self.others.as_ref()) else {
            return;
        };
        let times = match failure {
            None => &times.ok,
            Some(HandlerFailure::Failed(_)) => &times.failed,
            Some(HandlerFailure::Panicked(_)) => &times.panicked,
            Some(HandlerFailure::TimedOut(_)) => &times.timed_out,
        };
        times.record(began.0.elapsed());
    }
}

impl Times {
    fn new(name: &str) -> Self {
        const NAME: &str = "tidings_handler_duration_seconds";
        describe_histogram!(NAME, Unit::Seconds, "how long calls of handlers took");
        let of = |outcome: &'static str| {
            let event = name.to_owned();
            ::metrics::histogram!(NAME, "event" => event, "outcome" => outcome)
        };
        Self {
            ok: of("ok"),
            failed: of("failed"),
            panicked: of("panicked"),
            timed_out: of("timed_out"),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "no queue and no frame comes near 2^52"
)]
fn float(size: usize) -> f64 {
    size as f64
}
