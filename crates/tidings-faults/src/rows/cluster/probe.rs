//! A counter that is used all the time: how long keys are unavailable, and how long a call takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Result;
use tidings::{Bus, Counter};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::oracle::Steps;

/// The name of the counter.
pub(super) const COUNTER: &str = "probe";

const PAUSE: Duration = Duration::from_millis(20);

/// A task that counts until it is ended.
pub(super) struct Probe {
    ending: Arc<AtomicBool>,
    counting: JoinHandle<Calls>,
}

/// The calls of a probe.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) steps: Steps,
    failed: Vec<Call>,
    pub(super) longest: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    began: Instant,
    ended: Instant,
}

impl Probe {
    pub(super) fn start(bus: &Bus) -> Result<Self> {
        let counter = bus.counter(COUNTER)?;
        let ending = Arc::new(AtomicBool::new(false));
        let counting = tokio::spawn(count(counter, Arc::clone(&ending)));
        Ok(Self { ending, counting })
    }

    pub(super) async fn end(self) -> Calls {
        self.ending.store(true, Relaxed);
        self.counting.await.unwrap_or_default()
    }
}

async fn count(counter: Counter, ending: Arc<AtomicBool>) -> Calls {
    let mut calls = Calls::default();
    while !ending.load(Relaxed) {
        let began = Instant::now();
        let result = counter.add(1).await;
        let ended = Instant::now();
        calls.longest = calls.longest.max(ended - began);
        match result {
            Ok(sum) => calls.steps.confirmed.push(sum.unsigned_abs()),
            Err(error) => {
                calls.steps.in_doubt += u64::from(error.is_unknown());
                calls.failed.push(Call { began, ended });
            }
        }
        sleep(PAUSE).await;
    }
    calls
}

impl Calls {
    pub(super) fn failed(&self) -> usize {
        self.failed.len()
    }

    /// Returns the time from then until the last call failed.
    pub(super) fn failing_after(&self, since: Instant) -> Duration {
        let after = self.failed.iter().filter(|call| call.began >= since);
        let last = after.map(|call| call.ended).max();
        last.map_or(Duration::ZERO, |last| last - since)
    }
}
