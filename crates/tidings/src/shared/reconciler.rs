//! Keeps what a bus has of shared values as true as Redis: one task for all of them.
//!
//! A copy is never older than the last notification of it, else than the last reconnect, gap or
//! message that could not be read, else than the last check, once in [`EVERY`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant as Clock, sleep_until, timeout};

use crate::error::send_failure::SendFailure;
use crate::keyspace::Keyspace;
use crate::keyspace::access::Availability;
use crate::keyspace::answer::KeyError;
use crate::keyspace::stamp::Stamp;
use crate::observe::health::HealthState;
use crate::shared::refresh::{Outcome, RefreshState, Round};
use crate::task::panic::panic_text;
use crate::task::random::jitter;
use crate::task::stage::Stage;

/// How often all copies are compared with Redis, before chance changes it by a fifth.
pub(crate) const EVERY: Duration = Duration::from_secs(30);

/// The waits between attempts to read what could not be read, although Redis is there.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// What this process has of something that is shared: one value, or the cache of a map.
pub(crate) trait Replica: Send + Sync {
    /// The hash in Redis whose fields `version` and `nonce` are its stamp.
    fn key(&self) -> &str;

    /// The stamp of what is here; `None` where only another reading can tell.
    fn stamp(&self) -> Option<Stamp>;

    /// What the keeper knows of it: [`Reconciler::refresh_state`] gives it.
    fn refresh_state(&self) -> &RefreshState;

    /// Redis holds the same.
    fn confirm(&self);

    /// Redis holds something else, or may: reads it again. Only the keeper calls this, one call at a
    /// time, so no older answer can come after a newer one. It ends well where Redis answered,
    /// whatever that answer is worth; it has this time for that.
    fn refresh(
        self: Arc<Self>,
        keyspace: Arc<dyn Keyspace>,
        patience: Duration,
    ) -> BoxFuture<'static, Outcome>;

    /// Nothing has been heard since then: what is here may be old.
    fn became_unreachable(&self, since: Instant);

    /// Sends what Redis has not taken yet, before the bus ends; what it does not take by this time is
    /// reported.
    fn settle(self: Arc<Self>, _deadline: Clock) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What a keeper watches.
pub(crate) struct Watched {
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) way: watch::Receiver<Availability>,
    pub(crate) missed: watch::Receiver<u64>,
    pub(crate) unread: watch::Receiver<()>,
    pub(crate) health: Arc<HealthState>,
    /// How long an answer of Redis may take.
    pub(crate) patience: Duration,
    /// How often all copies are compared with Redis.
    pub(crate) every: Duration,
}

/// The handle to the task.
pub(crate) struct Reconciler {
    replicas: Mutex<Vec<Weak<dyn Replica>>>,
    /// A copy is behind.
    wake: Arc<Notify>,
    stage: watch::Receiver<Stage>,
    /// Ends with the task.
    running: watch::Receiver<()>,
}

impl Reconciler {
    /// A keeper, and the task that it needs.
    pub(crate) fn new(watched: Watched) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (is_running, running) = watch::channel(());
        let reconciler = Arc::new(Self {
            replicas: Mutex::default(),
            wake: Arc::default(),
            stage: watched.stage,
            running,
        });
        let reconciling = ReconcileTask {
            reconciler: Arc::clone(&reconciler),
            _is_running: is_running,
            way: watched.way,
            missed: watched.missed,
            unread: watched.unread,
            health: watched.health,
            patience: watched.patience,
            every: watched.every,
            check: Clock::now() + by_chance(watched.every),
            work: FuturesUnordered::new(),
            comparing: Comparing::No,
            failures: 0,
            has_failed: false,
        };
        (reconciler, reconciling.run())
    }

    /// What a new copy is cared for with.
    pub(crate) fn refresh_state(&self) -> RefreshState {
        RefreshState::new(
            Arc::clone(&self.wake),
            self.stage.clone(),
            self.running.clone(),
        )
    }

    /// Keeps this copy true, for as long as somebody has it.
    pub(crate) fn add(&self, replica: Weak<dyn Replica>) {
        let mut replicas = self.lock();
        replicas.retain(|replica| replica.strong_count() > 0);
        replicas.push(replica);
    }

    /// Sends what Redis has not taken yet, before the bus ends.
    pub(crate) async fn settle(&self, deadline: Clock) {
        let settling = self.replicas().into_iter();
        join_all(settling.map(|replica| replica.settle(deadline))).await;
    }

    fn replicas(&self) -> Vec<Arc<dyn Replica>> {
        self.lock().iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<dyn Replica>>> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task, which keeps nothing of the bus alive.
struct ReconcileTask {
    reconciler: Arc<Reconciler>,
    _is_running: watch::Sender<()>,
    way: watch::Receiver<Availability>,
    missed: watch::Receiver<u64>,
    unread: watch::Receiver<()>,
    health: Arc<HealthState>,
    /// How long Redis may take to answer.
    patience: Duration,
    every: Duration,
    /// When all copies are compared, if nothing makes that necessary before.
    check: Clock,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    comparing: Comparing,
    /// How many questions in a row Redis did not answer as it should.
    failures: u32,
    /// Whether one was among them since the last comparison.
    has_failed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparing {
    No,
    UnderWay,
    /// There was another reason to doubt after it was begun.
    OnceMore,
}

/// What Redis answered.
enum Done {
    Compared(Vec<Arc<dyn Replica>>, Result<Vec<Found>, SendFailure>),
    Refreshed(Arc<dyn Replica>, Round, Outcome),
}

/// The stamp under a key, or why there is none to be had.
type Found = Result<Stamp, KeyError>;

/// However it ends, nobody waits for it in vain, and nothing passes for new.
impl Drop for ReconcileTask {
    fn drop(&mut self) {
        self.work.clear();
        let received = self.received();
        for replica in self.reconciler.replicas() {
            replica.refresh_state().interrupt(SendFailure::Closed);
            replica.became_unreachable(received);
        }
    }
}

impl ReconcileTask {
    async fn run(mut self) {
        let mut stage = self.reconciler.stage.clone();
        tokio::select! {
            () = self.keep() => {}
            _ = stage.wait_for(|stage| *stage >= Stage::Leaving) => {}
        }
    }

    async fn keep(&mut self) {
        loop {
            let wake = Arc::clone(&self.reconciler.wake);
            tokio::select! {
                changed = self.way.changed() => match changed {
                    Ok(()) => self.go_another_way(),
                    Err(_) => return,
                },
                changed = self.missed.changed() => match changed {
                    Ok(()) => self.doubt_all(),
                    Err(_) => return,
                },
                changed = self.unread.changed() => match changed {
                    Ok(()) => self.compare_soon(FIRST_RETRY),
                    Err(_) => return,
                },
                () = wake.notified() => self.refresh_those_behind(),
                Some(done) = self.work.next() => self.take_in(done),
                () = sleep_until(self.check) => {
                    self.check = Clock::now() + by_chance(self.every);
                    self.doubt_all();
                }
            }
        }
    }

    /// The connection was lost, or is another: no answer comes any more.
    fn go_another_way(&mut self) {
        self.work.clear();
        self.comparing = Comparing::No;
        let is_unreachable = self.way.borrow_and_update().is_err();
        let received = self.received();
        for replica in self.reconciler.replicas() {
            replica.refresh_state().interrupt(SendFailure::Lost);
            if is_unreachable {
                replica.became_unreachable(received);
            }
        }
        self.doubt_all();
    }

    fn received(&self) -> Instant {
        self.health.last_received().unwrap_or_else(Instant::now)
    }

    /// Asks for the stamps of all copies, and reads those again that have another.
    fn doubt_all(&mut self) {
        self.refresh_those_behind();
        let Ok(keyspace) = self.way.borrow().clone() else {
            return;
        };
        if self.comparing != Comparing::No {
            self.comparing = Comparing::OnceMore;
            return;
        }
        let replicas = self.reconciler.replicas();
        if replicas.is_empty() {
            return;
        }
        self.comparing = Comparing::UnderWay;
        let keys = replicas
            .iter()
            .map(|replica| replica.key().to_owned())
            .collect();
        let patience = self.patience;
        self.work.push(Box::pin(async move {
            let found = in_time(patience, async {
                keyspace.stamps(keys).await.map_err(KeyError::into_reason)
            });
            Done::Compared(replicas, found.await)
        }));
    }

    fn refresh_those_behind(&mut self) {
        for replica in self.reconciler.replicas() {
            self.refresh_if_behind(replica);
        }
    }

    fn refresh_if_behind(&mut self, replica: Arc<dyn Replica>) {
        let Some(round) = replica.refresh_state().begin() else {
            return;
        };
        let keyspace = match &*self.way.borrow() {
            Ok(keyspace) => Arc::clone(keyspace),
            Err(reason) => return replica.refresh_state().end(round, Err(reason.clone())),
        };
        let patience = self.patience;
        self.work.push(Box::pin(async move {
            // The application's keys and values run here, too, and must not end what keeps all others.
            let refreshing = async { Arc::clone(&replica).refresh(keyspace, patience).await };
            let outcome = AssertUnwindSafe(refreshing).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|panic| {
                let words = format!("it panicked: {}", panic_text(&*panic));
                tracing::error!(key = replica.key(), words, "a copy could not be read again");
                Err(SendFailure::Refused(words.into()))
            });
            Done::Refreshed(replica, round, outcome)
        }));
    }

    fn take_in(&mut self, done: Done) {
        match done {
            Done::Compared(replicas, Ok(found)) => {
                let again = self.comparing == Comparing::OnceMore;
                self.comparing = Comparing::No;
                if !std::mem::take(&mut self.has_failed) {
                    self.failures = 0;
                }
                self.judge(replicas, found);
                if again {
                    self.doubt_all();
                }
            }
            Done::Compared(_, Err(_)) => {
                self.comparing = Comparing::No;
                self.has_failed = true;
                self.try_later();
            }
            Done::Refreshed(replica, round, outcome) => {
                if outcome.is_err() {
                    // It is known to be old, or not known to be new.
                    replica.became_unreachable(Instant::now());
                    self.has_failed = true;
                    self.try_later();
                }
                replica.refresh_state().end(round, outcome);
                self.refresh_if_behind(replica);
            }
        }
    }

    fn judge(&mut self, replicas: Vec<Arc<dyn Replica>>, found: Vec<Found>) {
        for (replica, found) in replicas.into_iter().zip(found) {
            let is_same = found.is_ok_and(|stamp| Some(stamp) == replica.stamp());
            if !is_same || catch_unwind(AssertUnwindSafe(|| replica.confirm())).is_err() {
                // Where there is no stamp, the attempt to read it says what is wrong.
                replica.refresh_state().behind();
                self.refresh_if_behind(replica);
            }
        }
    }

    /// Redis is there, and did not answer as it should: all copies are compared after a while, which
    /// finds what could not be read now.
    fn try_later(&mut self) {
        let delay = FIRST_RETRY * 2_u32.saturating_pow(self.failures.min(16));
        self.failures += 1;
        self.compare_soon(by_chance(delay.min(LONGEST_RETRY)));
    }

    /// Compares all copies after this time at the latest: once, however often it is called until
    /// then. So a program that publishes garbage does not decide how often Redis is asked.
    fn compare_soon(&mut self, delay: Duration) {
        self.check = self.check.min(Clock::now() + delay);
    }
}

pub(super) async fn in_time<T>(
    patience: Duration,
    asking: impl Future<Output = Result<T, SendFailure>>,
) -> Result<T, SendFailure> {
    let answer = timeout(patience, asking).await;
    answer.unwrap_or(Err(SendFailure::TimedOut(patience)))
}

/// Up to a fifth more or less: the processes of a fleet must not all ask at once.
fn by_chance(time: Duration) -> Duration {
    jitter(time, 0.8..1.2)
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use tokio::task::yield_now;

    use super::*;
    use crate::Bus;

    /// What ends the keeper where its key is asked for.
    struct Trap(RefreshState);

    impl Replica for Trap {
        fn key(&self) -> &str {
            panic!("a mistake of ours")
        }

        fn stamp(&self) -> Option<Stamp> {
            None
        }

        fn refresh_state(&self) -> &RefreshState {
            &self.0
        }

        fn confirm(&self) {}

        fn refresh(
            self: Arc<Self>,
            _: Arc<dyn Keyspace>,
            _: Duration,
        ) -> BoxFuture<'static, Outcome> {
            Box::pin(std::future::pending())
        }

        fn became_unreachable(&self, _: Instant) {}
    }

    #[tokio::test]
    async fn who_waits_for_a_keeper_that_has_panicked_is_released() {
        let bus = Bus::builder("memory:keeper-panics").start().await.unwrap();
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
