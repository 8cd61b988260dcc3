//! The task that keeps all replicas of a bus equal to Redis.
//!
//! A replica is as new as its last change notification, reconnect, gap, unreadable message, or
//! periodic comparison ([`REFRESH_INTERVAL`]), whichever came last.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant as Clock, sleep_until, timeout};

use crate::error::send_failure::SendFailure;
use crate::keyspace::access::Availability;
use crate::keyspace::answer::NotDone;
use crate::keyspace::value::FoundStamp;
use crate::observe::health::HealthState;
use crate::shared::refresh::{Outcome, RefreshState, Round};
use crate::shared::replica::Replica;
use crate::task::mutex::Mutex;
use crate::task::panic::panic_text;
use crate::task::random::jitter;
use crate::task::stage::{Stage, until_leaving};

/// The default interval between comparisons of all replicas with Redis, before jitter.
pub(crate) const REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// The delays between attempts if Redis is reachable and did not answer as expected.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const MAX_RETRY: Duration = Duration::from_secs(5);

/// The signals and settings of a reconciler.
pub(crate) struct ReconcilerInputs {
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) availability: watch::Receiver<Availability>,
    pub(crate) missed: watch::Receiver<u64>,
    pub(crate) unread: watch::Receiver<()>,
    pub(crate) health: Arc<HealthState>,
    /// The limit for one answer of Redis.
    pub(crate) timeout: Duration,
    /// The interval between comparisons of all replicas with Redis.
    pub(crate) every: Duration,
}

/// The handle to the task.
pub(crate) struct Reconciler {
    replicas: Mutex<Vec<Weak<dyn Replica>>>,
    /// Notified when a replica requests a refresh.
    wake: Arc<Notify>,
    stage: watch::Receiver<Stage>,
    /// Closed when the task ends.
    running: watch::Receiver<()>,
}

impl Reconciler {
    /// Returns a reconciler and its task.
    pub(crate) fn new(
        inputs: ReconcilerInputs,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (is_running, running) = watch::channel(());
        let reconciler = Arc::new(Self {
            replicas: Mutex::default(),
            wake: Arc::default(),
            stage: inputs.stage.clone(),
            running,
        });
        let reconciling = ReconcileTask {
            reconciler: Arc::clone(&reconciler),
            _is_running: is_running,
            check: Clock::now() + jittered(inputs.every),
            inputs,
            work: FuturesUnordered::new(),
            comparison: Comparison::Idle,
            failures: 0,
            has_failed: false,
        };
        (reconciler, reconciling.run())
    }

    /// Returns the refresh state for a new replica.
    pub(crate) fn refresh_state(&self) -> RefreshState {
        RefreshState::new(
            Arc::clone(&self.wake),
            self.stage.clone(),
            self.running.clone(),
        )
    }

    /// Adds a replica, for as long as it is used.
    pub(crate) fn add(&self, replica: Weak<dyn Replica>) {
        let mut replicas = self.replicas.lock();
        replicas.retain(|replica| replica.strong_count() > 0);
        replicas.push(replica);
    }

    /// Sends the writes that Redis has not accepted yet, before the bus ends.
    pub(crate) async fn flush(&self, deadline: Clock) {
        let flushing = self.replicas().into_iter();
        join_all(flushing.map(|replica| replica.flush(deadline))).await;
    }

    fn replicas(&self) -> Vec<Arc<dyn Replica>> {
        self.replicas
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }
}

/// The task. It keeps nothing of the bus alive.
struct ReconcileTask {
    reconciler: Arc<Reconciler>,
    _is_running: watch::Sender<()>,
    inputs: ReconcilerInputs,
    /// The time of the next comparison, unless an event causes one before.
    check: Clock,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    comparison: Comparison,
    /// The number of failed requests in a row.
    failures: u32,
    /// A request failed since the last comparison.
    has_failed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Idle,
    Running,
    /// Another comparison was requested after it began.
    RunningAgain,
}

/// A finished request.
enum Done {
    /// `None` if Redis did not answer.
    Compared(Vec<Arc<dyn Replica>>, Option<Vec<Found>>),
    Refreshed(Arc<dyn Replica>, Round, Outcome),
}

/// The stamp of a replica in Redis, or why it cannot be read.
type Found = Result<FoundStamp, NotDone>;

/// Releases all waiting callers and marks all replicas as stale, also after a panic.
impl Drop for ReconcileTask {
    fn drop(&mut self) {
        self.work.clear();
        let last_received = self.last_received();
        for replica in self.reconciler.replicas() {
            replica.refresh_state().interrupt(SendFailure::Closed);
            replica.became_unreachable(last_received);
        }
    }
}

impl ReconcileTask {
    async fn run(mut self) {
        let stage = self.reconciler.stage.clone();
        until_leaving(stage, self.run_until_closed()).await;
    }

    async fn run_until_closed(&mut self) {
        loop {
            let wake = Arc::clone(&self.reconciler.wake);
            tokio::select! {
                changed = self.inputs.availability.changed() => match changed {
                    Ok(()) => self.connection_changed(),
                    Err(_) => return,
                },
                changed = self.inputs.missed.changed() => match changed {
                    Ok(()) => self.compare_all(),
                    Err(_) => return,
                },
                changed = self.inputs.unread.changed() => match changed {
                    Ok(()) => self.compare_soon(FIRST_RETRY),
                    Err(_) => return,
                },
                () = wake.notified() => self.refresh_outdated(),
                Some(done) = self.work.next() => self.handle_done(done),
                () = sleep_until(self.check) => {
                    self.check = Clock::now() + jittered(self.inputs.every);
                    self.compare_all();
                }
            }
        }
    }

    /// The connection was lost or replaced: no answer to earlier requests comes.
    fn connection_changed(&mut self) {
        self.work.clear();
        self.comparison = Comparison::Idle;
        let is_unreachable = self.inputs.availability.borrow_and_update().is_err();
        let last_received = self.last_received();
        for replica in self.reconciler.replicas() {
            replica.refresh_state().interrupt(SendFailure::Lost);
            if is_unreachable {
                replica.became_unreachable(last_received);
            }
        }
        self.compare_all();
    }

    fn last_received(&self) -> Instant {
        self.inputs
            .health
            .last_received()
            .unwrap_or_else(Instant::now)
    }

    /// Compares the stamps of all replicas with Redis, and refreshes those that differ.
    fn compare_all(&mut self) {
        self.refresh_outdated();
        let Ok(keyspace) = self.inputs.availability.borrow().clone() else {
            return;
        };
        if self.comparison != Comparison::Idle {
            self.comparison = Comparison::RunningAgain;
            return;
        }
        let replicas = self.reconciler.replicas();
        if replicas.is_empty() {
            return;
        }
        self.comparison = Comparison::Running;
        let keys = replicas
            .iter()
            .map(|replica| replica.stamp_keys())
            .collect();
        let limit = self.inputs.timeout;
        self.work.push(Box::pin(async move {
            let found = timeout(limit, keyspace.stamps(keys)).await;
            Done::Compared(replicas, found.ok().and_then(Result::ok))
        }));
    }

    fn refresh_outdated(&mut self) {
        for replica in self.reconciler.replicas() {
            self.refresh_if_outdated(replica);
        }
    }

    fn refresh_if_outdated(&mut self, replica: Arc<dyn Replica>) {
        let Some(round) = replica.refresh_state().begin() else {
            return;
        };
        if let Err(reason) = &*self.inputs.availability.borrow() {
            return replica.refresh_state().end(round, Err(reason.clone()));
        }
        self.work.push(Box::pin(async move {
            // The code of the application's keys and values runs here and must not end this task.
            let refreshing = async { Arc::clone(&replica).refresh().await };
            let outcome = AssertUnwindSafe(refreshing).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|panic| {
                let text = panic_text(&*panic);
                tracing::error!(
                    key = replica.key(),
                    panic = text,
                    "cannot refresh a shared replica"
                );
                Err(SendFailure::Refused(format!("it panicked: {text}").into()))
            });
            Done::Refreshed(replica, round, outcome)
        }));
    }

    fn handle_done(&mut self, done: Done) {
        match done {
            Done::Compared(replicas, Some(found)) => {
                let again = self.comparison == Comparison::RunningAgain;
                self.comparison = Comparison::Idle;
                if !std::mem::take(&mut self.has_failed) {
                    self.failures = 0;
                }
                self.apply_stamps(replicas, found);
                if again {
                    self.compare_all();
                }
            }
            Done::Compared(_, None) => {
                self.comparison = Comparison::Idle;
                self.has_failed = true;
                self.retry_later();
            }
            Done::Refreshed(replica, round, outcome) => {
                if outcome.is_err() {
                    // It is out of date, or may be.
                    replica.became_unreachable(Instant::now());
                    self.has_failed = true;
                    self.retry_later();
                }
                replica.refresh_state().end(round, outcome);
                self.refresh_if_outdated(replica);
            }
        }
    }

    fn apply_stamps(&mut self, replicas: Vec<Arc<dyn Replica>>, found: Vec<Found>) {
        for (replica, found) in replicas.into_iter().zip(found) {
            let is_same = found
                .is_ok_and(|found| !found.has_no_entries && Some(found.stamp) == replica.stamp());
            if !is_same || catch_unwind(AssertUnwindSafe(|| replica.confirm())).is_err() {
                // If there is no stamp, the refresh finds out why.
                replica.refresh_state().request_refresh();
                self.refresh_if_outdated(replica);
            }
        }
    }

    /// Redis is reachable and did not answer as expected: schedules a comparison of all replicas.
    fn retry_later(&mut self) {
        let delay = FIRST_RETRY * 2_u32.saturating_pow(self.failures.min(16));
        self.failures += 1;
        self.compare_soon(jittered(delay.min(MAX_RETRY)));
    }

    /// Compares all replicas after this time at the latest: once, however often it is called. So a
    /// program that publishes garbage cannot cause more requests to Redis.
    fn compare_soon(&mut self, delay: Duration) {
        self.check = self.check.min(Clock::now() + delay);
    }
}

/// Adds jitter of ±20 %, so that the processes of a fleet do not all send requests at once.
fn jittered(time: Duration) -> Duration {
    jitter(time, 0.8..1.2)
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use tokio::task::yield_now;

    use super::*;
    use crate::Bus;
    use crate::keyspace::stamp::Stamp;

    /// A replica that makes the reconciler panic.
    struct Trap(RefreshState);

    impl Replica for Trap {
        fn key(&self) -> &str {
            panic!("on purpose")
        }

        fn stamp(&self) -> Option<Stamp> {
            None
        }

        fn refresh_state(&self) -> &RefreshState {
            &self.0
        }

        fn confirm(&self) {}

        fn refresh(self: Arc<Self>) -> BoxFuture<'static, Outcome> {
            Box::pin(std::future::pending())
        }

        fn became_unreachable(&self, _: Instant) {}
    }

    #[tokio::test]
    async fn a_panic_of_the_reconciler_releases_all_waiting_callers() {
        let bus = Bus::builder("memory:reconciler-panics")
            .start()
            .await
            .unwrap();
        let reconciler = bus.inner.reconciler();
        let trap = Arc::new(Trap(reconciler.refresh_state()));
        reconciler.add(Arc::downgrade(&trap) as _);
        let mut reading = Box::pin(trap.0.refreshed());
        assert!(poll!(&mut reading).is_pending());
        while trap.0.idle().is_some() {
            yield_now().await;
        }
        let mut next = Box::pin(trap.0.refreshed());
        assert!(poll!(&mut next).is_pending());

        // A gap is a reason to compare all copies, which asks for their keys.
        bus.inner.reports.missed.send_modify(|missed| *missed += 1);

        let later = reconciler.refresh_state();
        for released in [reading.await, next.await, later.refreshed().await] {
            assert_eq!(released, Err(SendFailure::Closed));
        }
    }
}
