//! A subscriber of a run: a bus on a thread of its own, which counts what arrives.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tidings::BusBuilder;
use tokio::sync::oneshot;

use super::sample::{EVENT, Sample, since};
use super::sender::Progress;
use super::tally::Tally;
use super::thread::{Joined, join, processor_time, run};

pub(super) struct Subscriber {
    received: Arc<AtomicU64>,
    stop: oneshot::Sender<()>,
    thread: Joined<Received>,
}

/// The results of a subscriber.
pub(super) struct Received {
    pub(super) tally: Tally,
    pub(super) processor_time: Duration,
}

impl Subscriber {
    /// Starts a subscriber, and waits until it receives.
    pub(super) async fn start(
        builder: BusBuilder,
        progress: Arc<Progress>,
    ) -> anyhow::Result<Self> {
        let received = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&received);
        let (stop, stopped) = oneshot::channel();
        let (is_ready, ready) = oneshot::channel();
        let thread = run(move || async move {
            let tally = Arc::new(Mutex::new(Tally::new()));
            let bus = counting(builder, &tally, progress, counter).start().await?;
            let before = processor_time();
            let _ = is_ready.send(());
            // An error is the end of the command.
            let _ = stopped.await;
            let processor_time = processor_time().saturating_sub(before);
            drop(bus);
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(Received {
                tally: std::mem::replace(&mut tally, Tally::new()),
                processor_time,
            })
        });
        match ready.await {
            Ok(()) => Ok(Self {
                received,
                stop,
                thread,
            }),
            Err(_) => Err(join(thread).await.err().context("it did not start")?),
        }
    }

    /// Returns the number of events so far.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) async fn stop(self) -> anyhow::Result<Received> {
        // It has ended already if it failed.
        let _ = self.stop.send(());
        join(self.thread).await
    }
}

/// Adds a handler that counts.
fn counting(
    builder: BusBuilder,
    tally: &Arc<Mutex<Tally>>,
    progress: Arc<Progress>,
    counter: Arc<AtomicU64>,
) -> BusBuilder {
    let tally = Arc::clone(tally);
    builder.on(EVENT, move |sample: Sample| {
        let now = progress.epoch.get().map_or(0, |epoch| since(*epoch));
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.count(sample.number, now.saturating_sub(sample.time));
        counter.store(tally.received, Ordering::Relaxed);
        async {}
    })
}
