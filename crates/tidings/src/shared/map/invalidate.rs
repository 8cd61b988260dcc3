//! Invalidations that outlast an outage: what Redis did not take is repeated until it did, or the bus
//! ends.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::iter;
use tokio::time::sleep;

use super::cache::{Entry, Told};
use super::invalidations::{Next, Turn};
use super::mirror::{Key, Mirror};
use crate::error::report;
use crate::failure::{Failure, Fate, Reason};
use crate::link::delays;
use crate::shared::keeper::{Stamp, nonce};
use crate::shared::{Shareable, StoreError};
use crate::transport::keyspace::maps::Moved;

/// How many keys are sent at once.
const AT_ONCE: usize = 16;

impl<K: Key, V: Shareable> Mirror<K, V> {
    /// Takes an entry out, or has that repeated until Redis takes it.
    pub(crate) async fn invalidate(self: &Arc<Self>, key: &K) -> Result<(), StoreError> {
        let field = self.field(key)?;
        let turn = self.lock().invalidate(key);
        // Whether it fails or the caller stops waiting: it is not forgotten.
        let unfinished = Unfinished(Some(self));
        match self.send(key, &field, turn).await {
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
                let one = || Told::Some(vec![key.clone()]);
                self.watchers.tell(&if is_all { Told::All } else { one() });
            }
        }
        Ok(())
    }

    pub(crate) async fn remove(&self, key: &K) -> Result<(), StoreError> {
        let field = self.field(key)?;
        self.take_out(key, &field).await?;
        self.lock().invalid.overwrote(key);
        Ok(())
    }

    pub(crate) async fn clear(&self) -> Result<(), StoreError> {
        let nonce = nonce();
        let cleared = self.change(None, |keys| keys.clear_map(&self.keys, &nonce));
        let Moved { version, was } = cleared.await?;
        let told = self.lock().hear(None, Stamp { version, nonce }, &was);
        self.watchers.tell(&told);
        Ok(())
    }

    async fn send(&self, key: &K, field: &str, turn: Turn) -> Result<(), StoreError> {
        self.take_out(key, field).await?;
        self.lock().invalid.took(key, turn);
        Ok(())
    }

    async fn take_out(&self, key: &K, field: &str) -> Result<(), StoreError> {
        let (nonce, era) = (nonce(), self.care.era());
        let removed = self.change(Some(key), |keys| {
            keys.remove_entry(&self.keys, field, &nonce)
        });
        let moved = removed.await?;
        self.wrote(era, key, Entry::absent(), moved, nonce);
        Ok(())
    }

    /// Sends what waits, until Redis has taken all of it or the bus has ended.
    pub(crate) async fn repeat(&self) {
        let mut way = self.kept.watch();
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
            Next::All(turn) => {
                let is_done = self.clear().await.is_ok();
                if is_done {
                    self.lock().invalid.took_all(turn);
                }
                is_done
            }
            Next::Keys(keys) => {
                let sent = iter(keys).map(async |(key, turn)| self.send_again(&key, turn).await);
                sent.buffer_unordered(AT_ONCE)
                    .all(async |is_done| is_done)
                    .await
            }
        }
    }

    async fn send_again(&self, key: &K, turn: Turn) -> bool {
        let _turn = self.turn(key).lock().await;
        if !self.lock().invalid.waits(key, turn) {
            // A newer entry was written meanwhile.
            return true;
        }
        let sent = async { self.send(key, &self.field(key)?, turn).await };
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
        let mirror = Arc::clone(self);
        self.runtime.spawn(async move {
            loop {
                mirror.repeat().await;
                let mut cache = mirror.lock();
                let is_over = cache.invalid.is_empty();
                if is_over {
                    cache.invalid.are_repeated = false;
                    return;
                }
                drop(cache);
                let reason = mirror.kept.watch().borrow().as_ref().err().cloned();
                if reason.as_ref().is_some_and(has_ended) {
                    return mirror.give_up();
                }
            }
        });
    }
}

/// An invalidation under way, which is repeated if it is dropped before its end.
struct Unfinished<'a, K: Key, V: Shareable>(Option<&'a Arc<Mirror<K, V>>>);

impl<K: Key, V: Shareable> Unfinished<'_, K, V> {
    fn finish(mut self) {
        self.0 = None;
    }
}

impl<K: Key, V: Shareable> Drop for Unfinished<'_, K, V> {
    fn drop(&mut self) {
        if let Some(mirror) = self.0 {
            mirror.repeat_in_background();
        }
    }
}

/// Whether to repeat it would be of no use.
fn is_lasting(error: &StoreError) -> bool {
    match error {
        StoreError::Fate { fate, .. } => match fate {
            Fate::NotSent(reason) | Fate::Unknown(reason) => has_ended(reason),
        },
        _ => true,
    }
}

fn has_ended(reason: &Reason) -> bool {
    matches!(reason, Reason::Closed | Reason::RuntimeEnded)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::pin::pin;
    use std::time::Duration;

    use futures_util::poll;

    use super::*;
    use crate::kept::Way;
    use crate::transport::memory::Place;
    use crate::{Bus, SharedMap};

    /// A map in memory, and the place in which changes of it can be held.
    struct Ages {
        bus: Bus,
        map: SharedMap<u32, u32>,
        place: Arc<Place>,
        way: Way,
    }

    impl Ages {
        async fn start(name: &str) -> Self {
            let bus = Bus::builder(&format!("memory:{name}"));
            let bus = bus.start().await.unwrap();
            let map = bus.map("ages").unwrap();
            let place = Place::of(name, &bus.inner.namespace.channel());
            let way = bus.inner.kept.watch().borrow().clone();
            Self {
                bus,
                map,
                place,
                way,
            }
        }

        fn go_away(&self) {
            self.bus.inner.kept.set(Err(Reason::Away));
        }

        fn come_back(&self) {
            self.bus.inner.kept.set(self.way.clone());
        }

        /// What everybody can read, once every task waits for something.
        async fn settled(&self) -> HashMap<u32, u32> {
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

    #[tokio::test(start_paused = true)]
    async fn a_repeated_invalidation_does_not_come_after_a_set_that_is_under_way() {
        let ages = Ages::start("invalidation-and-set").await;
        ages.map.set(&7, &41).await.unwrap();
        ages.go_away();
        ages.map.invalidate(&7).await.unwrap();
        let held = ages.place.hold().await;
        ages.come_back();

        let mut setting = pin!(ages.map.set(&7, &42));
        assert!(poll!(&mut setting).is_pending());
        idle().await;
        drop(held);

        setting.await.unwrap();
        assert_eq!(ages.settled().await, HashMap::from([(7, 42)]));
    }
}
