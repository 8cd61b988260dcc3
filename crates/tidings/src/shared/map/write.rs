//! Writes of a map: set and update.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout};

use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::error::shared::StoreError;
use crate::keyspace::Keyspace;
use crate::keyspace::answer::Answer;
use crate::keyspace::map::{NewEntry, WriteCondition};
use crate::keyspace::stamp::{Moved, nonce};
use crate::shared::codec::encoded;
use crate::shared::map::entry::{Entry, Key, entry_name, field_of};
use crate::shared::map::invalidations::Generation;
use crate::shared::map::replica::{KEY_LOCKS, MapReplica};
use crate::shared::options::Shareable;
use crate::shared::refresh::ConnectionEpoch;
use crate::shared::write::back_off;
use crate::task::FOREVER;

/// A new entry.
pub(crate) struct NewValue<V> {
    /// The payload, and the value as every process will decode it; `None` for a negative entry.
    pub(crate) encoded: Option<(Vec<u8>, Arc<V>)>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) condition: WriteCondition,
    /// The newest invalidation when it was begun. Later ones apply to this entry.
    pub(crate) since: Generation,
}

/// The state when a write was begun.
#[derive(Clone, Copy)]
pub(crate) struct WriteStart {
    epoch: ConnectionEpoch,
    /// The newest invalidation that the write confirms.
    since: Generation,
    overtakes: u64,
}

impl<K: Key, V: Shareable> MapReplica<K, V> {
    pub(crate) async fn set(&self, key: &K, value: &V) -> Result<(), StoreError> {
        let field = self.field(key)?;
        let new = NewValue {
            encoded: Some(self.encoded(&field, value)?),
            ttl: self.options.ttl,
            condition: WriteCondition::Always,
            since: self.lock().invalid.last(),
        };
        // A repeated invalidation must not reach Redis after this write.
        let is_invalid = self.lock().invalid.contains(key);
        let _key_lock = if is_invalid {
            Some(self.lock_key_in_time(key, &field).await?)
        } else {
            None
        };
        self.write(key, &field, new).await.map(|_| ())
    }

    pub(crate) async fn update(
        self: &Arc<Self>,
        key: &K,
        mut new: impl FnMut(Option<&V>) -> V,
    ) -> Result<Arc<V>, StoreError> {
        let field = self.field(key)?;
        let deadline = Instant::now() + self.keyspace.patience().min(FOREVER);
        let since = self.lock().invalid.last();
        let _key_lock = self.lock_key_in_time(key, &field).await?;
        if self.lock().invalid.contains(key) {
            // An invalidated entry in Redis must not be updated.
            self.remove(key).await?;
        }
        let read = self.read(key).await;
        let mut old =
            self.contain(read.map_err(|error| StoreError::not_read(&self.keys.name, error))?);
        for attempts in 1.. {
            let (payload, value) = {
                let old = old.value.as_ref();
                let old =
                    old.map_err(|error| StoreError::not_read(&self.keys.name, error.clone()))?;
                let new = new(old.as_deref());
                let encoded = self.encoded(&field, &new);
                self.discard(new);
                let (payload, value) = encoded?;
                (payload, self.contain(value))
            };
            let new = NewValue {
                encoded: Some((payload, Arc::clone(&*value))),
                ttl: self.options.ttl,
                condition: WriteCondition::IfNonce(old.nonce.to_string()),
                since,
            };
            match self.write(key, &field, new).await? {
                None => return Ok(Arc::clone(&*value)),
                Some(found) => old = self.contain(found),
            }
            back_off(&entry_name(&self.keys.name, &field), attempts, deadline).await?;
        }
        unreachable!("the number of attempts is bounded")
    }

    /// Writes an entry; returns the one in Redis if the condition does not hold.
    pub(crate) async fn write(
        &self,
        key: &K,
        field: &str,
        new: NewValue<V>,
    ) -> Result<Option<Entry<V>>, StoreError> {
        let start = self.write_start(new.since);
        let requested = Instant::now();
        let (payload, value) = new.encoded.unzip();
        let ttl = new.ttl;
        let value = value.map(|value| self.contain(value));
        let new = NewEntry {
            field: field.to_owned(),
            format: self.format,
            payload,
            ttl,
            nonce: nonce(),
            condition: new.condition,
        };
        let written = self.change(Some(key), |keys| keys.write_entry(&self.keys, new));
        match written.await? {
            Err(found) => {
                let mut cache = self.lock();
                cache.forget(key);
                cache.note(&found.stamp);
                drop(cache);
                Ok(Some(self.found(field, &found, requested)))
            }
            Ok(moved) => {
                let entry = Entry {
                    nonce: moved.now.nonce.as_str().into(),
                    value: Ok(value.as_deref().cloned()),
                    until: ttl.map(|ttl| requested + ttl),
                };
                self.record_write(start, key, entry, &moved);
                Ok(None)
            }
        }
    }

    /// Returns the state, for a write that begins now and confirms the invalidations until `since`.
    pub(crate) fn write_start(&self, since: Generation) -> WriteStart {
        WriteStart {
            epoch: self.refresh_state.epoch(),
            since,
            overtakes: self.lock().overtakes(),
        }
    }

    /// Redis accepted a change of this entry.
    pub(crate) fn record_write(&self, start: WriteStart, key: &K, entry: Entry<V>, moved: &Moved) {
        let is_same_epoch = self.refresh_state.epoch() == start.epoch;
        let mut cache = self.lock();
        cache.invalid.confirm(key, start.since);
        if !is_same_epoch {
            // It may be from a server that is no longer the master.
            return cache.forget(key);
        }
        let changed = cache.record_write(key, entry, moved, start.overtakes);
        drop(cache);
        self.watchers.notify(&changed);
    }

    /// Sends a change of this entry, or of all.
    pub(crate) async fn change<T>(
        &self,
        key: Option<&K>,
        operation: impl FnOnce(&dyn Keyspace) -> Answer<T>,
    ) -> Result<T, StoreError> {
        let answer = self.keyspace.request(operation).await;
        answer.map_err(|not_done| {
            let error = not_done.into_store_error(&self.keys.name);
            if error.is_unknown() {
                // The next read finds out what happened to it.
                if let Some(key) = key {
                    self.lock().forget(key);
                }
            }
            error
        })
    }

    pub(crate) fn field(&self, key: &K) -> Result<String, StoreError> {
        field_of(&self.keys.name, key).map_err(|error| StoreError::not_read(&self.keys.name, error))
    }

    pub(crate) fn encoded(&self, field: &str, value: &V) -> Result<(Vec<u8>, Arc<V>), StoreError> {
        let name = entry_name(&self.keys.name, field);
        let (payload, value) = encoded(&name, self.format, value)?;
        Ok((payload, Arc::new(value)))
    }

    /// Locks the key within the send timeout against repeated invalidations. A pending invalidation
    /// of the whole map is sent first: it must not reach Redis after the caller's write.
    async fn lock_key_in_time(
        &self,
        key: &K,
        field: &str,
    ) -> Result<MutexGuard<'_, ()>, StoreError> {
        let patience = self.keyspace.patience();
        let mut is_locked = false;
        let locking = async {
            let key_lock = self.key_lock(key).lock().await;
            is_locked = true;
            self.send_all().await?;
            Ok(key_lock)
        };
        let locking = async { timeout(patience, locking).await };
        let locked = self.keyspace.in_runtime(locking).await;
        locked.unwrap_or_else(|_| {
            let shared = entry_name(&self.keys.name, field);
            if !is_locked {
                return Err(StoreError::Blocked { shared, patience });
            }
            let why = Unconfirmed::NotSent(SendFailure::TimedOut(patience));
            Err(StoreError::Unconfirmed { shared, why })
        })
    }

    pub(crate) fn key_lock(&self, key: &K) -> &Mutex<()> {
        let index = self.hasher.hash_one(key) % KEY_LOCKS as u64;
        &self.key_locks[usize::try_from(index).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use futures_util::poll;

    use crate::Bus;
    use crate::memory::Place;

    #[tokio::test(start_paused = true)]
    async fn an_update_behind_one_that_does_not_end_does_not_blame_redis() {
        let name = "update-behind-another";
        let bus = Bus::builder(&format!("memory:{name}"));
        let bus = bus.send_timeout(Duration::from_secs(1));
        let bus = bus.start().await.unwrap();
        let stock = bus.map::<u32, u32>("stock").unwrap();
        let place = Place::of(name, &bus.inner.namespace.channel());
        let held = place.hold().await;
        let mut first = pin!(stock.update(&7, |_| 1));
        assert!(poll!(&mut first).is_pending());
        drop(held);

        let error = stock.update(&7, |_| 2).await.unwrap_err();

        assert_eq!(
            error.to_string(),
            "`stock[7]` was not changed: an earlier change by this process has not ended within 1s"
        );
        assert!(!error.is_unknown());
    }
}
