//! A subscriber process: its handlers count and check the events, for every peer.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::clock::{cpu_ns, now_ns, rss_kib};
use crate::envelope;
use crate::event::Sample;
use crate::process::print_ready;
use crate::tally::Tally;
use crate::work::Work;

/// The interval of the checks for progress, and the checks without any before the process gives up.
/// It counts its own checks, so that a process that was frozen has time to catch up.
const LOOK: Duration = Duration::from_millis(500);
const PATIENCE: u32 = 10;

/// The result line of a subscriber process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Received {
    pub(crate) received: u64,
    pub(crate) wanted: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
    pub(crate) gaps: u64,
    pub(crate) last_ns: u64,
    pub(crate) cpu_ns: u64,
    pub(crate) rss_kib: u64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
}

/// The state that the handlers of this process share.
#[derive(Debug)]
pub(crate) struct Subscriber {
    work: Work,
    /// One for each handler.
    tallies: Vec<Mutex<Tally>>,
    incomplete: AtomicUsize,
    is_over: Notify,
    gaps: AtomicU64,
    cpu_at_ready: AtomicU64,
}

impl Subscriber {
    pub(crate) fn new(work: Work) -> Arc<Self> {
        let tallies = (0..work.handlers).map(|_| Mutex::new(Tally::new(&work)));
        Arc::new(Self {
            work,
            tallies: tallies.collect(),
            incomplete: AtomicUsize::new(work.handlers),
            is_over: Notify::new(),
            gaps: AtomicU64::new(0),
            cpu_at_ready: AtomicU64::new(0),
        })
    }

    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    pub(crate) fn handlers(&self) -> usize {
        self.work.handlers
    }

    /// Prints `ready`: from now on every event is received.
    pub(crate) fn ready(&self) {
        self.cpu_at_ready.store(cpu_ns(), Ordering::Relaxed);
        print_ready();
    }

    /// Handles an event.
    pub(crate) fn handle(&self, handler: usize, event: &impl Sample) {
        self.keep_busy();
        let mut tally = self.tally(handler);
        let was_complete = tally.is_complete();
        tally.count(event.number());
        let is_complete = tally.is_complete();
        if self.work.is_timed() {
            let now = now_ns();
            tally.last_ns = now;
            tally.add_latency(now.saturating_sub(event.sent_ns()));
        } else if is_complete || tally.received.is_multiple_of(64) {
            // Reading the clock for each event would cost as much as some of what is measured.
            tally.last_ns = now_ns();
        }
        drop(tally);
        let has_completed = is_complete && !was_complete;
        if has_completed && self.incomplete.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.is_over.notify_one();
        }
    }

    /// Counts a gap that the peer reported.
    pub(crate) fn gap(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until all events were received, or none came for a while.
    pub(crate) async fn over(&self) {
        let (mut before, mut quiet) = (0, 0);
        while timeout(LOOK, self.is_over.notified()).await.is_err() {
            let received = self.progress();
            let is_quiet = received == before && received > 0;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if quiet == PATIENCE {
                return;
            }
            before = received;
        }
        // Duplicates come right after the last event.
        sleep(Duration::from_millis(50)).await;
    }

    pub(crate) fn result(&self) -> Received {
        let cpu_ns = cpu_ns() - self.cpu_at_ready.load(Ordering::Relaxed);
        let all = || (0..self.tallies.len()).map(|handler| self.tally(handler));
        let [p50_us, p90_us, p99_us] = self.tally(0).percentiles([50, 90, 99]);
        Received {
            received: all().map(|tally| tally.received).min().unwrap_or(0),
            wanted: self.work.wanted(),
            duplicates: all().map(|tally| tally.duplicates).sum(),
            out_of_order: all().map(|tally| tally.out_of_order).sum(),
            gaps: self.gaps.load(Ordering::Relaxed),
            last_ns: all().map(|tally| tally.last_ns).max().unwrap_or(0),
            cpu_ns,
            rss_kib: rss_kib(),
            p50_us,
            p90_us,
            p99_us,
        }
    }

    fn progress(&self) -> u64 {
        let received = (0..self.tallies.len()).map(|handler| self.tally(handler).received);
        received.sum()
    }

    fn keep_busy(&self) {
        if self.work.handler_ns > 0 {
            let end = now_ns() + self.work.handler_ns;
            while now_ns() < end {
                std::hint::spin_loop();
            }
        }
    }

    fn tally(&self, handler: usize) -> MutexGuard<'_, Tally> {
        self.tallies[handler]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

type Boxed<E> = Box<dyn Fn(Arc<E>) -> BoxFuture<'static, ()> + Send + Sync>;

/// The handlers of a program without a bus: one direct call, or a list of boxed functions.
pub(crate) struct Handlers<E> {
    subscriber: Arc<Subscriber>,
    names: u64,
    boxed: Vec<Boxed<E>>,
}

impl<E: Sample> Handlers<E> {
    pub(crate) fn new(subscriber: &Arc<Subscriber>) -> Self {
        let work = subscriber.work;
        let boxed = (0..work.handlers).map(|handler| {
            let subscriber = Arc::clone(subscriber);
            let handle = move |event: Arc<E>| -> BoxFuture<'static, ()> {
                let subscriber = Arc::clone(&subscriber);
                Box::pin(async move { subscriber.handle(handler, &*event) })
            };
            Box::new(handle) as Boxed<E>
        });
        Self {
            subscriber: Arc::clone(subscriber),
            names: work.names,
            boxed: boxed.collect(),
        }
    }

    /// Decodes a payload, if it is wanted, and calls the handlers one after the other.
    pub(crate) async fn call(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let Some(event) = envelope::open::<E>(bytes, self.names)? else {
            return Ok(());
        };
        // A program with one handler calls it directly, and moves the event into it.
        if self.boxed.len() == 1 {
            self.subscriber.handle(0, &event);
            return Ok(());
        }
        let event = Arc::new(event);
        for handler in &self.boxed {
            handler(Arc::clone(&event)).await;
        }
        Ok(())
    }
}
