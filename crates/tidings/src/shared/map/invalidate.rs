//! Removals and invalidations. A pending invalidation is repeated until Redis accepts it or the bus
//! ends.

use std::sync::Arc;

use futures_util::stream::iter;
use futures_util::{FutureExt, StreamExt};
use tokio::time::sleep;

use crate::error::failure::Failure;
use crate::error::report;
use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::error::shared::StoreError;
use crate::keyspace::stamp::nonce;
use crate::shared::map::cache::Changed;
use crate::shared::map::entry::{Entry, Key};
use crate::shared::map::invalidations::{Generation, Next};
use crate::shared::map::replica::MapReplica;
use crate::shared::options::Shareable;
use crate::task::backoff::Delays;

/// The maximal number of keys that are sent concurrently.
const MAX_CONCURRENT: usize = 16;

impl<K: Key, V: Shareable> MapReplica<K, V> {
    /// Removes an entry, now or by a task that repeats the invalidation until Redis accepts it.
    pub(crate) async fn invalidate(self: &Arc<Self>, key: &K) -> Result<(), StoreError> {
        let field = self.field(key)?;
        let generation = self.lock().begin_invalidation(key);
        // It is repeated if it fails or its future is dropped.
        let unfinished = Unfinished {
            replica: self,
            is_finished: false,
        };
        match self.send_removal(key, &field, generation).await {
            Ok(()) => unfinished.finish(),
            Err(error) if is_permanent(&error) => {
                self.lock().invalid.confirm(key, generation);
                unfinished.finish();
                return Err(error);
            }
            Err(error) => {
                unfinished.finish();
                let shared = &self.keys.name;
                if !self.spawn_repeat() {
                    self.lock().invalid.confirm(key, generation);
                    let shared = shared.clone();
                    let why = Unconfirmed::Unknown(SendFailure::RuntimeEnded);
                    return Err(StoreError::Unconfirmed { shared, why });
                }
                tracing::warn!(shared, error = %report(&error), "an invalidation will be repeated until redis accepts it");
                self.watchers.notify(&Changed::Some(vec![key.clone()]));
            }
        }
        Ok(())
    }

    pub(crate) async fn remove(&self, key: &K) -> Result<(), StoreError> {
        let field = self.field(key)?;
        let until = self.lock().invalid.last();
        self.send_removal(key, &field, until).await
    }

    pub(crate) async fn clear(&self) -> Result<(), StoreError> {
        let until = self.lock().invalid.last();
        let cleared = self.change(None, |keys| keys.remove_entries(&self.keys, None, nonce()));
        let moved = cleared.await?;
        let mut cache = self.lock();
        cache.invalid.confirm_all(until);
        let changed = cache.record_clear(moved);
        drop(cache);
        self.watchers.notify(&changed);
        Ok(())
    }

    /// Sends the invalidation of the whole map, if it is pending.
    pub(super) async fn send_all(&self) -> Result<(), StoreError> {
        let _key_lock = self.clearing.lock().await;
        let is_due = self.lock().invalid.all().is_some();
        if is_due { self.clear().await } else { Ok(()) }
    }

    /// Removes an entry, which confirms its invalidations up to this one.
    async fn send_removal(
        &self,
        key: &K,
        field: &str,
        until: Generation,
    ) -> Result<(), StoreError> {
        let start = self.write_start(until);
        let removed = self.change(Some(key), |keys| {
            keys.remove_entries(&self.keys, Some(field), nonce())
        });
        let moved = removed.await?;
        self.record_write(start, key, Entry::absent(), &moved);
        Ok(())
    }

    /// Sends the pending invalidations until Redis has accepted all or the bus has ended.
    pub(crate) async fn repeat(&self) {
        let mut availability = self.keyspace.watch();
        let mut delays = Delays::new();
        loop {
            let Some(next) = self.lock().invalid.next(MAX_CONCURRENT) else {
                return;
            };
            let reason = availability.borrow_and_update().as_ref().err().cloned();
            if reason.as_ref().is_some_and(SendFailure::is_end) {
                return;
            }
            if reason.is_none() && self.send_next(next).await {
                continue;
            }
            tokio::select! {
                changed = availability.changed() => if changed.is_err() { return },
                () = sleep(delays.next()), if reason.is_none() => {}
            }
        }
    }

    /// Returns whether Redis accepted all of them.
    async fn send_next(&self, next: Next<K>) -> bool {
        match next {
            Next::All => self.send_all().await.is_ok(),
            Next::Keys(keys) => {
                let sent =
                    iter(keys).map(async |(key, generation)| self.resend(&key, generation).await);
                sent.buffer_unordered(MAX_CONCURRENT)
                    .all(async |is_done| is_done)
                    .await
            }
        }
    }

    async fn resend(&self, key: &K, generation: Generation) -> bool {
        let _key_lock = self.key_lock(key).lock().await;
        if !self.lock().invalid.is_pending(key, generation) {
            // A newer entry was written.
            return true;
        }
        let sent = async { self.send_removal(key, &self.field(key)?, generation).await };
        match sent.await {
            Ok(()) => true,
            Err(error) if is_permanent(&error) => {
                self.lock().invalid.confirm(key, generation);
                tracing::error!(shared = self.keys.name, error = %report(&error), "redis cannot accept an invalidation");
                true
            }
            Err(_) => false,
        }
    }

    /// Reports the invalidations that Redis did not accept before the end of the bus.
    pub(crate) fn give_up(&self) {
        let mut cache = self.lock();
        if cache.invalid.is_empty() {
            return;
        }
        let keys = cache.invalid.len();
        cache.invalid.clear();
        drop(cache);
        self.reports.failure(Failure::Invalidation {
            shared: self.keys.name.clone(),
            keys,
        });
    }

    /// Starts the task that repeats pending invalidations, if it does not run. Returns false if the
    /// runtime of the bus has ended.
    fn spawn_repeat(self: &Arc<Self>) -> bool {
        if std::mem::replace(&mut self.lock().invalid.is_repeating, true) {
            return true;
        }
        let repetition = Repetition {
            replica: Arc::clone(self),
            is_done: false,
        };
        let task = self.keyspace.runtime.spawn(repetition.run());
        !matches!(task.now_or_never(), Some(Err(_)))
    }
}

/// The task that repeats pending invalidations. It keeps the map alive until Redis has accepted
/// them, and gives them up if it is dropped with its runtime, even before its first poll.
struct Repetition<K: Key, V: Shareable> {
    replica: Arc<MapReplica<K, V>>,
    is_done: bool,
}

impl<K: Key, V: Shareable> Repetition<K, V> {
    async fn run(mut self) {
        let replica = Arc::clone(&self.replica);
        loop {
            replica.repeat().await;
            let mut cache = replica.lock();
            if cache.invalid.is_empty() {
                cache.invalid.is_repeating = false;
                self.is_done = true;
                return;
            }
            drop(cache);
            let reason = replica.keyspace.watch().borrow().as_ref().err().cloned();
            if reason.as_ref().is_some_and(SendFailure::is_end) {
                return;
            }
        }
    }
}

impl<K: Key, V: Shareable> Drop for Repetition<K, V> {
    fn drop(&mut self) {
        if !self.is_done {
            self.replica.lock().invalid.is_repeating = false;
            self.replica.give_up();
        }
    }
}

/// An invalidation in progress, which is repeated if its future is dropped.
struct Unfinished<'a, K: Key, V: Shareable> {
    replica: &'a Arc<MapReplica<K, V>>,
    is_finished: bool,
}

impl<K: Key, V: Shareable> Unfinished<'_, K, V> {
    fn finish(mut self) {
        self.is_finished = true;
    }
}

impl<K: Key, V: Shareable> Drop for Unfinished<'_, K, V> {
    fn drop(&mut self) {
        if self.replica.lock().end_invalidation() {
            self.replica.watchers.notify(&Changed::All);
        }
        if !self.is_finished {
            self.replica.spawn_repeat();
        }
    }
}

/// Returns whether repeating it cannot help.
fn is_permanent(error: &StoreError) -> bool {
    match error {
        StoreError::Unconfirmed { why, .. } => {
            let (Unconfirmed::NotSent(reason) | Unconfirmed::Unknown(reason)) = why;
            reason.is_end()
        }
        _ => true,
    }
}

/// Concurrent changes during an outage: the map is in memory, and the tests hold its operations
/// back.
#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;
    use std::pin::pin;
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::future::{BoxFuture, join_all};
    use futures_util::{FutureExt, poll};
    use tokio::time::{Instant, sleep};

    use super::super::invalidations::MAX_KEYS;
    use crate::error::send_failure::SendFailure;
    use crate::keyspace::access::Availability;
    use crate::memory::Place;
    use crate::{Bus, SharedMap};

    /// The limit for one answer.
    const PATIENCE: Duration = Duration::from_secs(1);

    type Map = SharedMap<usize, u32>;

    /// A map in memory whose operations can be held back.
    struct Ages {
        bus: Bus,
        map: Map,
        place: Arc<Place>,
        availability: Availability,
    }

    impl Ages {
        async fn start(name: &str) -> Self {
            let bus = Bus::builder(&format!("memory:{name}"));
            let bus = bus.send_timeout(PATIENCE).start().await.unwrap();
            let map = bus.map("ages").unwrap();
            let place = Place::of(name, &bus.inner.namespace.channel());
            let availability = bus.inner.keyspace.watch().borrow().clone();
            Self {
                bus,
                map,
                place,
                availability,
            }
        }

        fn go_away(&self) {
            self.bus.inner.keyspace.set(Err(SendFailure::Unreachable));
        }

        fn come_back(&self) {
            self.bus.inner.keyspace.set(self.availability.clone());
        }

        /// The entries that every process reads, once every task waits.
        async fn settled(&self) -> HashMap<usize, u32> {
            idle().await;
            assert_eq!(self.map.pending_invalidations(), Some(0));
            let all = self.map.all().await.unwrap().into_iter();
            let all: HashMap<_, _> = all.map(|(key, age)| (key, *age)).collect();
            for key in [7, 8] {
                let cached = self.map.get(&key).await.unwrap();
                assert_eq!(cached.as_deref(), all.get(&key));
            }
            all
        }
    }

    /// The clock is paused: it advances only when every task waits.
    async fn idle() {
        sleep(Duration::from_millis(1)).await;
    }

    /// Writes entry 7.
    type Writing = fn(Map) -> BoxFuture<'static, ()>;

    const WRITINGS: [(&str, Writing); 3] = [
        ("set", |map| {
            async move { map.set(&7, &42).await.unwrap() }.boxed()
        }),
        ("update", |map| {
            let new = |old: Option<&u32>| old.map_or(42, |old| old + 1);
            async move { drop(map.update(&7, new).await.unwrap()) }.boxed()
        }),
        ("load", |map| {
            let loader = || async { Ok::<_, Infallible>(42) };
            async move { drop(map.get_or_load(&7, loader).await.unwrap()) }.boxed()
        }),
    ];

    #[tokio::test(start_paused = true)]
    async fn a_repeated_invalidation_does_not_overtake_a_write_in_progress() {
        for (name, write) in &WRITINGS[..2] {
            let ages = Ages::start(&format!("repeated-during-{name}")).await;
            ages.map.set(&7, &1).await.unwrap();
            ages.go_away();
            ages.map.invalidate(&7).await.unwrap();
            let held = ages.place.hold().await;
            ages.come_back();

            let mut writing = pin!(write(ages.map.clone()));
            assert!(poll!(&mut writing).is_pending());
            idle().await;
            drop(held);

            writing.await;
            assert_eq!(ages.settled().await, HashMap::from([(7, 42)]), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_invalidation_of_the_whole_map_does_not_overtake_a_write_in_progress() {
        for (name, write) in &WRITINGS[..2] {
            let ages = Ages::start(&format!("whole-map-during-{name}")).await;
            ages.map.set(&7, &1).await.unwrap();
            ages.map.set(&8, &2).await.unwrap();
            ages.go_away();
            for key in 100..=100 + MAX_KEYS {
                ages.map.invalidate(&key).await.unwrap();
            }
            let held = ages.place.hold().await;
            ages.come_back();

            let mut writing = pin!(write(ages.map.clone()));
            assert!(poll!(&mut writing).is_pending());
            idle().await;
            drop(held);

            writing.await;
            assert_eq!(ages.settled().await, HashMap::from([(7, 42)]), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_invalidations_that_redis_accepts_never_become_one_of_the_whole_map() {
        let ages = Ages::start("concurrent").await;
        ages.map.set(&7, &1).await.unwrap();
        let held = ages.place.hold().await;
        let keys = 100..=100 + MAX_KEYS;
        let mut calls = pin!(join_all(
            keys.map(async |key| ages.map.invalidate(&key).await)
        ));
        assert!(poll!(&mut calls).is_pending());

        drop(held);
        let accepted = calls.await.iter().all(Result::is_ok);

        assert!(accepted);
        assert_eq!(ages.map.pending_invalidations(), Some(0));
        ages.map.set(&8, &2).await.unwrap();
        assert_eq!(ages.settled().await, HashMap::from([(7, 1), (8, 2)]));
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_invalidations_that_fail_become_one_of_the_whole_map() {
        let ages = Ages::start("concurrent-failures").await;
        ages.map.set(&7, &1).await.unwrap();
        let held = ages.place.hold().await;
        let keys = 100..=100 + MAX_KEYS;

        let calls = join_all(keys.map(async |key| ages.map.invalidate(&key).await)).await;

        assert!(calls.iter().all(Result::is_ok));
        assert_eq!(ages.map.pending_invalidations(), None);
        drop(held);
        assert_eq!(ages.settled().await, HashMap::new());
    }

    #[tokio::test(start_paused = true)]
    async fn an_invalidation_outlasts_a_write_that_began_before_it() {
        for (name, write) in WRITINGS {
            let ages = Ages::start(&format!("writing-before-{name}")).await;
            let held = ages.place.hold().await;
            let mut writing = pin!(write(ages.map.clone()));
            assert!(poll!(&mut writing).is_pending());
            ages.go_away();

            ages.map.invalidate(&7).await.unwrap();

            // Redis accepts the older value, and its answer comes after the invalidation.
            drop(held);
            writing.await;
            assert_eq!(ages.map.peek(&7), None, "{name}");
            assert_eq!(ages.map.pending_invalidations(), Some(1), "{name}");
            ages.come_back();
            assert_eq!(ages.settled().await, HashMap::new(), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_invalidation_outlasts_a_removal_that_began_before_it() {
        let ages = Ages::start("removal-before").await;
        let held = ages.place.hold().await;
        let mut removal = pin!(ages.map.remove(&7));
        assert!(poll!(&mut removal).is_pending());
        ages.go_away();

        ages.map.invalidate(&7).await.unwrap();

        drop(held);
        removal.await.unwrap();
        assert_eq!(ages.map.pending_invalidations(), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn sets_behind_a_repeated_invalidation_wait_at_most_two_send_timeouts() {
        let ages = Ages::start("sets-that-wait").await;
        ages.go_away();
        ages.map.invalidate(&7).await.unwrap();
        let _held = ages.place.hold().await;
        ages.come_back();
        idle().await;
        let begun = Instant::now();

        let sets = join_all((0..8).map(async |age| ages.map.set(&7, &age).await)).await;

        assert!(sets.iter().all(Result::is_err));
        assert!(begun.elapsed() <= 2 * PATIENCE, "{:?}", begun.elapsed());
    }
}
