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
use crate::keyspace::access::Way;
use crate::keyspace::answer::KeyError;
use crate::keyspace::stamp::Stamp;
use crate::observe::health::Pulse;
use crate::shared::refresh::{Care, Outcome, Round};
use crate::task::panic::panic_text;
use crate::task::random::jitter;
use crate::task::stage::Stage;

/// How often all copies are compared with Redis, before chance changes it by a fifth.
pub(crate) const EVERY: Duration = Duration::from_secs(30);

/// The waits between attempts to read what could not be read, although Redis is there.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// What this process has of something that is shared: one value, or the cache of a map.
pub(crate) trait Copy: Send + Sync {
    /// The hash in Redis whose fields `version` and `nonce` are its stamp.
    fn key(&self) -> &str;

    /// The stamp of what is here; `None` where only another reading can tell.
    fn stamp(&self) -> Option<Stamp>;

    /// What the keeper knows of it: [`Keeper::care`] gives it.
    fn care(&self) -> &Care;

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
    fn went_away(&self, since: Instant);

    /// Sends what Redis has not taken yet, before the bus ends; what it does not take by this time is
    /// reported.
    fn settle(self: Arc<Self>, _deadline: Clock) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What a keeper watches.
pub(crate) struct Watched {
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) way: watch::Receiver<Way>,
    pub(crate) missed: watch::Receiver<u64>,
    pub(crate) unread: watch::Receiver<()>,
    pub(crate) pulse: Arc<Pulse>,
    /// How long an answer of Redis may take.
    pub(crate) patience: Duration,
    /// How often all copies are compared with Redis.
    pub(crate) every: Duration,
}

/// The handle to the task.
pub(crate) struct Keeper {
    copies: Mutex<Vec<Weak<dyn Copy>>>,
    /// A copy is behind.
    wake: Arc<Notify>,
    stage: watch::Receiver<Stage>,
    /// Ends with the task.
    running: watch::Receiver<()>,
}

impl Keeper {
    /// A keeper, and the task that it needs.
    pub(crate) fn new(watched: Watched) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (is_running, running) = watch::channel(());
        let keeper = Arc::new(Self {
            copies: Mutex::default(),
            wake: Arc::default(),
            stage: watched.stage,
            running,
        });
        let keeping = Keeping {
            keeper: Arc::clone(&keeper),
            _is_running: is_running,
            way: watched.way,
            missed: watched.missed,
            unread: watched.unread,
            pulse: watched.pulse,
            patience: watched.patience,
            every: watched.every,
            check: Clock::now() + by_chance(watched.every),
            work: FuturesUnordered::new(),
            comparing: Comparing::No,
            failures: 0,
            has_failed: false,
        };
        (keeper, keeping.run())
    }

    /// What a new copy is cared for with.
    pub(crate) fn care(&self) -> Care {
        Care::new(
            Arc::clone(&self.wake),
            self.stage.clone(),
            self.running.clone(),
        )
    }

    /// Keeps this copy true, for as long as somebody has it.
    pub(crate) fn add(&self, copy: Weak<dyn Copy>) {
        let mut copies = self.lock();
        copies.retain(|copy| copy.strong_count() > 0);
        copies.push(copy);
    }

    /// Sends what Redis has not taken yet, before the bus ends.
    pub(crate) async fn settle(&self, deadline: Clock) {
        let settling = self.copies().into_iter();
        join_all(settling.map(|copy| copy.settle(deadline))).await;
    }

    fn copies(&self) -> Vec<Arc<dyn Copy>> {
        self.lock().iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<dyn Copy>>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task, which keeps nothing of the bus alive.
struct Keeping {
    keeper: Arc<Keeper>,
    _is_running: watch::Sender<()>,
    way: watch::Receiver<Way>,
    missed: watch::Receiver<u64>,
    unread: watch::Receiver<()>,
    pulse: Arc<Pulse>,
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
    Compared(Vec<Arc<dyn Copy>>, Result<Vec<Found>, SendFailure>),
    Refreshed(Arc<dyn Copy>, Round, Outcome),
}

/// The stamp under a key, or why there is none to be had.
type Found = Result<Stamp, KeyError>;

/// However it ends, nobody waits for it in vain, and nothing passes for new.
impl Drop for Keeping {
    fn drop(&mut self) {
        self.work.clear();
        let heard = self.heard();
        for copy in self.keeper.copies() {
            copy.care().interrupt(SendFailure::Closed);
            copy.went_away(heard);
        }
    }
}

impl Keeping {
    async fn run(mut self) {
        let mut stage = self.keeper.stage.clone();
        tokio::select! {
            () = self.keep() => {}
            _ = stage.wait_for(|stage| *stage >= Stage::Leaving) => {}
        }
    }

    async fn keep(&mut self) {
        loop {
            let wake = Arc::clone(&self.keeper.wake);
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
        let is_away = self.way.borrow_and_update().is_err();
        let heard = self.heard();
        for copy in self.keeper.copies() {
            copy.care().interrupt(SendFailure::Lost);
            if is_away {
                copy.went_away(heard);
            }
        }
        self.doubt_all();
    }

    fn heard(&self) -> Instant {
        self.pulse.last_received().unwrap_or_else(Instant::now)
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
        let copies = self.keeper.copies();
        if copies.is_empty() {
            return;
        }
        self.comparing = Comparing::UnderWay;
        let keys = copies.iter().map(|copy| copy.key().to_owned()).collect();
        let patience = self.patience;
        self.work.push(Box::pin(async move {
            let found = in_time(patience, async {
                keyspace.stamps(keys).await.map_err(KeyError::into_reason)
            });
            Done::Compared(copies, found.await)
        }));
    }

    fn refresh_those_behind(&mut self) {
        for copy in self.keeper.copies() {
            self.refresh_if_behind(copy);
        }
    }

    fn refresh_if_behind(&mut self, copy: Arc<dyn Copy>) {
        let Some(round) = copy.care().begin() else {
            return;
        };
        let keyspace = match &*self.way.borrow() {
            Ok(keyspace) => Arc::clone(keyspace),
            Err(reason) => return copy.care().end(round, Err(reason.clone())),
        };
        let patience = self.patience;
        self.work.push(Box::pin(async move {
            // The application's keys and values run here, too, and must not end what keeps all others.
            let refreshing = async { Arc::clone(&copy).refresh(keyspace, patience).await };
            let outcome = AssertUnwindSafe(refreshing).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|panic| {
                let words = format!("it panicked: {}", panic_text(&*panic));
                tracing::error!(key = copy.key(), words, "a copy could not be read again");
                Err(SendFailure::Refused(words.into()))
            });
            Done::Refreshed(copy, round, outcome)
        }));
    }

    fn take_in(&mut self, done: Done) {
        match done {
            Done::Compared(copies, Ok(found)) => {
                let again = self.comparing == Comparing::OnceMore;
                self.comparing = Comparing::No;
                if !std::mem::take(&mut self.has_failed) {
                    self.failures = 0;
                }
                self.judge(copies, found);
                if again {
                    self.doubt_all();
                }
            }
            Done::Compared(_, Err(_)) => {
                self.comparing = Comparing::No;
                self.has_failed = true;
                self.try_later();
            }
            Done::Refreshed(copy, round, outcome) => {
                if outcome.is_err() {
                    // It is known to be old, or not known to be new.
                    copy.went_away(Instant::now());
                    self.has_failed = true;
                    self.try_later();
                }
                copy.care().end(round, outcome);
                self.refresh_if_behind(copy);
            }
        }
    }

    fn judge(&mut self, copies: Vec<Arc<dyn Copy>>, found: Vec<Found>) {
        for (copy, found) in copies.into_iter().zip(found) {
            let is_same = found.is_ok_and(|stamp| Some(stamp) == copy.stamp());
            if !is_same || catch_unwind(AssertUnwindSafe(|| copy.confirm())).is_err() {
                // Where there is no stamp, the attempt to read it says what is wrong.
                copy.care().behind();
                self.refresh_if_behind(copy);
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
    struct Trap(Care);

    impl Copy for Trap {
        fn key(&self) -> &str {
            panic!("a mistake of ours")
        }

        fn stamp(&self) -> Option<Stamp> {
            None
        }

        fn care(&self) -> &Care {
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

        fn went_away(&self, _: Instant) {}
    }

    #[tokio::test]
    async fn who_waits_for_a_keeper_that_has_panicked_is_released() {
        let bus = Bus::builder("memory:keeper-panics").start().await.unwrap();
        let keeper = bus.inner.keeper();
        let trap = Arc::new(Trap(keeper.care()));
        keeper.add(Arc::downgrade(&trap) as _);
        let mut reading = Box::pin(trap.0.refreshed());
        assert!(poll!(&mut reading).is_pending());
        while trap.0.calm().is_some() {
            yield_now().await;
        }
        let mut next = Box::pin(trap.0.refreshed());
        assert!(poll!(&mut next).is_pending());

        // A gap is a reason to compare all copies, which asks for their keys.
        bus.inner.reports.missed.send_modify(|missed| *missed += 1);

        let later = keeper.care();
        for released in [reading.await, next.await, later.refreshed().await] {
            assert_eq!(released, Err(SendFailure::Closed));
        }
    }
}
