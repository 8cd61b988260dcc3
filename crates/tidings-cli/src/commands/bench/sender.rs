//! The sender of a run: a bus on a thread of its own, which sends what is due.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tidings::{Bus, BusBuilder, Failure, FlushError, SendError, Unconfirmed, report};
use tokio::sync::oneshot;

use super::pacer::steps;
use super::sample::{EVENT, Filler};
use super::thread::{Joined, join, processor_time, run};

/// The time after the end in which events that are late may still be sent.
const LATE: Duration = Duration::from_secs(1);

/// The events to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) rate: u64,
    pub(super) time: Duration,
    pub(super) size: usize,
}

/// The state of a run that several threads see.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The time of the first event.
    pub(super) epoch: OnceLock<Instant>,
    /// Events that were given to the bus.
    pub(super) fed: AtomicU64,
    pub(super) is_stopped: Arc<AtomicBool>,
    /// The reason why the bus gave up an event.
    given_up: OnceLock<String>,
}

/// A sender that waits for its begin.
pub(super) struct Sender {
    begin: oneshot::Sender<()>,
    thread: Joined<Sent>,
}

/// The results of the events.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Events that were given to the bus.
    pub(super) fed: u64,
    pub(super) not_sent: u64,
    pub(super) unknown: u64,
    pub(super) took: Duration,
    pub(super) processor_time: Duration,
    /// The error that was the end.
    pub(super) error: Option<String>,
}

impl Sender {
    /// Starts the sender, and waits until it can send.
    pub(super) async fn start(
        builder: BusBuilder,
        plan: Plan,
        progress: Arc<Progress>,
    ) -> anyhow::Result<Self> {
        let (begin, begun) = oneshot::channel();
        let (is_ready, ready) = oneshot::channel();
        let thread = run(move || async move {
            let bus = progress.watch(builder).start().await?;
            let _ = is_ready.send(());
            // It is dropped if a subscriber has failed.
            begun.await.context("the run did not begin")?;
            Ok(progress.send(&bus, plan).await)
        });
        match ready.await {
            Ok(()) => Ok(Self { begin, thread }),
            Err(_) => Err(join(thread).await.err().context("it did not start")?),
        }
    }

    pub(super) fn begin(self) -> Joined<Sent> {
        // It has ended already if it failed.
        let _ = self.begin.send(());
        self.thread
    }
}

impl Progress {
    /// Stops the run when the bus gives up an event.
    fn watch(self: &Arc<Self>, builder: BusBuilder) -> BusBuilder {
        let progress = Arc::clone(self);
        builder.on_failure(move |failure: Failure| {
            if matches!(failure, Failure::Send { .. }) {
                // The first one is shown.
                let _ = progress.given_up.set(report(&failure).to_string());
                progress.is_stopped.store(true, Ordering::Relaxed);
            }
        })
    }

    async fn send(&self, bus: &Bus, plan: Plan) -> Sent {
        let epoch = *self.epoch.get_or_init(Instant::now);
        let before = processor_time();
        let mut sent = Sent::default();
        let fed = self.feed(bus, plan, epoch).await;
        sent.took = epoch.elapsed();
        if !self.is_stopped.swap(true, Ordering::Relaxed) {
            // The last event is due before the end.
            sent.took = sent.took.max(plan.time);
        }
        if let Err(error) = bus.flush().await {
            sent.lose(&error);
        }
        sent.processor_time = processor_time().saturating_sub(before);
        sent.fed = self.fed.load(Ordering::Relaxed);
        let error = fed.err().map(|error| report(&error).to_string());
        sent.error = error.or_else(|| self.given_up.get().cloned());
        sent
    }

    /// Sends what is due until the end, until it is stopped or until an event cannot be sent.
    async fn feed(&self, bus: &Bus, plan: Plan, epoch: Instant) -> Result<(), SendError> {
        let filler = Filler::new(plan.size);
        let mut steps = steps(plan.rate, plan.time, epoch, &self.is_stopped);
        while let Some(step) = steps.recv().await {
            // A sender that cannot keep the rate leaves the rest out.
            if self.is_stopped.load(Ordering::Relaxed) || epoch.elapsed() > plan.time + LATE {
                break;
            }
            for number in step.numbers {
                bus.feed(EVENT, &filler.fill(number, step.time)).await?;
                self.fed.store(number + 1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

impl Sent {
    /// Counts the events that Redis has not accepted.
    fn lose(&mut self, error: &FlushError) {
        let lost = error.undelivered().iter();
        let is_not_sent = |why: &Unconfirmed| matches!(why, Unconfirmed::NotSent(_));
        self.not_sent = lost.filter(|lost| is_not_sent(&lost.why)).count() as u64;
        // The result of events that are not listed is unknown.
        self.unknown = error.count() - self.not_sent;
    }
}
