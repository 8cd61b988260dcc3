//! Invalidations that outlast an outage: what Redis did not take is repeated until it did, or the bus
//! ends.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::iter;
use tokio::sync::MutexGuard;
use tokio::time::sleep;

use crate::error::failure::Failure;
use crate::error::report;
use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::error::shared::StoreError;
use crate::keyspace::map::Moved;
use crate::keyspace::stamp::{Stamp, nonce};
use crate::shared::map::cache::Changed;
use crate::shared::map::entry::{Entry, Key};
use crate::shared::map::invalidations::{Next, Turn};
use crate::shared::map::replica::MapReplica;
use crate::shared::shareable::Shareable;
use crate::task::backoff::delays;

/// How many keys are sent at once.
const AT_ONCE: usize = 16;

impl<K: Key, V: Shareable> MapReplica<K, V> {
    /// Takes an entry out, or has that repeated until Redis takes it.
    pub(crate) async fn invalidate(self: &Arc<Self>, key: &K) -> Result<(), StoreError> {
        let field = self.field(key)?;
        let turn = self.lock().invalidate(key);
        // Whether it fails or the caller stops waiting: it is not forgotten.
        let unfinished = Unfinished(Some(self));
        match self.take_out(key, &field, turn).await {
            Ok(()) => unfinished.finish(),
            Err(error) if is_lasting(&error) => {
                self.lock().invalid.took(key, turn);
                unfinished.finish();
                return Err(error);
            }
            Err(error) => {
                let shared = &self.keys.name;
                tracing::warn!(shared, error = %report(&error), "an invalidation waits for redis");
                let is_all = self.lock().invalid.len().is_none();
                let one = || Changed::Some(vec![key.clone()]);
                self.watchers
                    .notify(&if is_all { Changed::All } else { one() });
            }
        }
        Ok(())
    }

    pub(crate) async fn remove(&self, key: &K) -> Result<(), StoreError> {
        let field = self.field(key)?;
        let until = self.lock().invalid.last();
        self.take_out(key, &field, until).await
    }

    pub(crate) async fn clear(&self) -> Result<(), StoreError> {
        let (nonce, until) = (nonce(), self.lock().invalid.last());
        let cleared = self.change(None, |keys| keys.clear_map(&self.keys, &nonce));
        let Moved { version, was } = cleared.await?;
        let mut cache = self.lock();
        cache.invalid.took_all(until);
        let changed = cache.receive(None, Stamp { version, nonce }, &was);
        drop(cache);
        self.watchers.notify(&changed);
        Ok(())
    }

    /// Waits until no invalidation of this key is being repeated, and holds further ones back. One of
    /// the whole map is sent first: it must not reach Redis after what the caller writes.
    pub(crate) async fn turn(&self, key: &K) -> Result<MutexGuard<'_, ()>, StoreError> {
        let turn = self.turn_of(key).lock().await;
        self.send_all().await?;
        Ok(turn)
    }

    /// Sends the invalidation of the whole map, if it waits. One task does it for all.
    async fn send_all(&self) -> Result<(), StoreError> {
        let _turn = self.clearing.lock().await;
        let is_due = self.lock().invalid.all().is_some();
        if is_due { self.clear().await } else { Ok(()) }
    }

    /// Takes an entry out, and with it the invalidations until this one.
    async fn take_out(&self, key: &K, field: &str, until: Turn) -> Result<(), StoreError> {
        let (nonce, epoch) = (nonce(), self.refresh_state.epoch());
        let removed = self.change(Some(key), |keys| {
            keys.remove_entry(&self.keys, field, &nonce)
        });
        let moved = removed.await?;
        self.wrote((epoch, until), key, Entry::absent(), moved, nonce);
        Ok(())
    }

    /// Sends what waits, until Redis has taken all of it or the bus has ended.
    pub(crate) async fn repeat(&self) {
        let mut way = self.keyspace.watch();
        let mut delays = delays();
        loop {
            let next = self.lock().invalid.next(AT_ONCE);
            if next == Next::Nothing {
                return;
            }
            let reason = way.borrow_and_update().as_ref().err().cloned();
            if reason.as_ref().is_some_and(has_ended) {
                return;
            }
            if reason.is_none() && self.send_next(next).await {
                continue;
            }
            tokio::select! {
                changed = way.changed() => if changed.is_err() { return },
                () = sleep(delays.next().unwrap_or_default()), if reason.is_none() => {}
            }
        }
    }

    /// Whether Redis took all of these.
    async fn send_next(&self, next: Next<K>) -> bool {
        match next {
            Next::Nothing => true,
            Next::All => self.send_all().await.is_ok(),
            Next::Keys(keys) => {
                let sent = iter(keys).map(async |(key, turn)| self.send_again(&key, turn).await);
                sent.buffer_unordered(AT_ONCE)
                    .all(async |is_done| is_done)
                    .await
            }
        }
    }

    async fn send_again(&self, key: &K, turn: Turn) -> bool {
        let _turn = self.turn_of(key).lock().await;
        if !self.lock().invalid.waits(key, turn) {
            // A newer entry was written meanwhile.
            return true;
        }
        let sent = async { self.take_out(key, &self.field(key)?, turn).await };
        match sent.await {
            Ok(()) => true,
            Err(error) if is_lasting(&error) => {
                self.lock().invalid.took(key, turn);
                tracing::error!(shared = self.keys.name, error = %report(&error), "an invalidation is given up");
                true
            }
            Err(_) => false,
        }
    }

    /// Reports what Redis did not take before the end of the bus.
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

    /// Starts the task that repeats what waits, if it does not run.
    fn repeat_in_background(self: &Arc<Self>) {
        let mut cache = self.lock();
        if cache.invalid.is_empty() || std::mem::replace(&mut cache.invalid.are_repeated, true) {
            return;
        }
        drop(cache);
        // It holds the map: nobody else needs to until Redis knows.
        let replica = Arc::clone(self);
        self.runtime.spawn(async move {
            loop {
                replica.repeat().await;
                let mut cache = replica.lock();
                let is_over = cache.invalid.is_empty();
                if is_over {
                    cache.invalid.are_repeated = false;
                    return;
                }
                drop(cache);
                let reason = replica.keyspace.watch().borrow().as_ref().err().cloned();
                if reason.as_ref().is_some_and(has_ended) {
                    return replica.give_up();
                }
            }
        });
    }
}

/// An invalidation under way, which is repeated if it is dropped before its end.
struct Unfinished<'a, K: Key, V: Shareable>(Option<&'a Arc<MapReplica<K, V>>>);

impl<K: Key, V: Shareable> Unfinished<'_, K, V> {
    fn finish(mut self) {
        self.0 = None;
    }
}

impl<K: Key, V: Shareable> Drop for Unfinished<'_, K, V> {
    fn drop(&mut self) {
        if let Some(replica) = self.0 {
            replica.repeat_in_background();
        }
    }
}

/// Whether to repeat it would be of no use.
fn is_lasting(error: &StoreError) -> bool {
    match error {
        StoreError::Unconfirmed { why, .. } => match why {
            Unconfirmed::NotSent(reason) | Unconfirmed::Unknown(reason) => has_ended(reason),
        },
        _ => true,
    }
}

fn has_ended(reason: &SendFailure) -> bool {
    matches!(reason, SendFailure::Closed | SendFailure::RuntimeEnded)
}

/// Changes that are under way at once, with Redis away between them: the map is in memory, and the
/// tests hold back what it does.
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

    use super::super::invalidations::MOST;
    use crate::error::send_failure::SendFailure;
    use crate::keyspace::access::Availability;
    use crate::memory::Place;
    use crate::{Bus, SharedMap};

    /// How long an answer may take.
    const PATIENCE: Duration = Duration::from_secs(1);

    type Map = SharedMap<usize, u32>;

    /// A map in memory, and the place in which changes of it can be held.
    struct Ages {
        bus: Bus,
        map: Map,
        place: Arc<Place>,
        way: Availability,
    }

    impl Ages {
        async fn start(name: &str) -> Self {
            let bus = Bus::builder(&format!("memory:{name}"));
            let bus = bus.send_timeout(PATIENCE).start().await.unwrap();
            let map = bus.map("ages").unwrap();
            let place = Place::of(name, &bus.inner.namespace.channel());
            let way = bus.inner.keyspace.watch().borrow().clone();
            Self {
                bus,
                map,
                place,
                way,
            }
        }

        fn go_away(&self) {
            self.bus.inner.keyspace.set(Err(SendFailure::Unreachable));
        }

        fn come_back(&self) {
            self.bus.inner.keyspace.set(self.way.clone());
        }

        /// What everybody can read, once every task waits for something.
        async fn settled(&self) -> HashMap<usize, u32> {
            idle().await;
            assert_eq!(self.map.pending_invalidations(), Some(0));
            let all = self.map.all().await.unwrap().into_iter();
            let all: HashMap<_, _> = all.map(|(key, age)| (key, *age)).collect();
            for key in [7, 8] {
                let at_hand = self.map.get(&key).await.unwrap();
                assert_eq!(at_hand.as_deref(), all.get(&key));
            }
            all
        }
    }

    /// The clock is paused: it goes on only when every task waits.
    async fn idle() {
        sleep(Duration::from_millis(1)).await;
    }

    /// Something that writes the entry of 7.
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
    async fn a_repeated_invalidation_does_not_come_after_a_writing_that_is_under_way() {
        for (name, write) in &WRITINGS[..2] {
            let ages = Ages::start(&format!("repeated-beside-{name}")).await;
            ages.map.set(&7, &1).await.unwrap();
            ages.go_away();
            ages.map.invalidate(&7).await.unwrap();
            let contained = ages.place.hold().await;
            ages.come_back();

            let mut writing = pin!(write(ages.map.clone()));
            assert!(poll!(&mut writing).is_pending());
            idle().await;
            drop(contained);

            writing.await;
            assert_eq!(ages.settled().await, HashMap::from([(7, 42)]), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_invalidation_of_the_whole_map_does_not_come_after_a_writing_that_is_under_way() {
        for (name, write) in &WRITINGS[..2] {
            let ages = Ages::start(&format!("whole-map-beside-{name}")).await;
            ages.map.set(&7, &1).await.unwrap();
            ages.map.set(&8, &2).await.unwrap();
            ages.go_away();
            for key in 100..=100 + MOST {
                ages.map.invalidate(&key).await.unwrap();
            }
            let contained = ages.place.hold().await;
            ages.come_back();

            let mut writing = pin!(write(ages.map.clone()));
            assert!(poll!(&mut writing).is_pending());
            idle().await;
            drop(contained);

            writing.await;
            assert_eq!(ages.settled().await, HashMap::from([(7, 42)]), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_invalidation_outlasts_what_was_already_being_written_when_it_was_called() {
        for (name, write) in WRITINGS {
            let ages = Ages::start(&format!("writing-before-{name}")).await;
            let contained = ages.place.hold().await;
            let mut writing = pin!(write(ages.map.clone()));
            assert!(poll!(&mut writing).is_pending());
            ages.go_away();

            ages.map.invalidate(&7).await.unwrap();

            // Redis accepts the older value, and its answer comes after the invalidation.
            drop(contained);
            writing.await;
            assert_eq!(ages.map.peek(&7), None, "{name}");
            assert_eq!(ages.map.pending_invalidations(), Some(1), "{name}");
            ages.come_back();
            assert_eq!(ages.settled().await, HashMap::new(), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_invalidation_outlasts_a_removal_that_was_under_way_when_it_was_called() {
        let ages = Ages::start("removal-before").await;
        let contained = ages.place.hold().await;
        let mut removal = pin!(ages.map.remove(&7));
        assert!(poll!(&mut removal).is_pending());
        ages.go_away();

        ages.map.invalidate(&7).await.unwrap();

        drop(contained);
        removal.await.unwrap();
        assert_eq!(ages.map.pending_invalidations(), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn sets_behind_a_repeated_invalidation_wait_no_longer_than_two_sends_may_take() {
        let ages = Ages::start("sets-that-wait").await;
        ages.go_away();
        ages.map.invalidate(&7).await.unwrap();
        let _contained = ages.place.hold().await;
        ages.come_back();
        idle().await;
        let begun = Instant::now();

        let sets = join_all((0..8).map(async |age| ages.map.set(&7, &age).await)).await;

        assert!(sets.iter().all(Result::is_err));
        assert!(begun.elapsed() <= 2 * PATIENCE, "{:?}", begun.elapsed());
    }
}
