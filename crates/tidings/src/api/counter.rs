//! A counter that all processes share.

use std::fmt;
use std::sync::Arc;

use tidings_codec::check_name;

use crate::Bus;
use crate::error::counter::CounterError;
use crate::keyspace::Keyspace;
use crate::keyspace::access::KeyspaceAccess;
use crate::keyspace::answer::{Answer, NotDone};

/// A counter in Redis that all processes of the namespace share. Cheap to clone. [`Bus::counter`]
/// returns it.
///
/// A new counter is 0. Do not reset it at the start of a process: that removes the counts of the
/// others. Its key is `tidings:{namespace}:counter:NAME`, so `redis-cli` can read and change it, too.
///
/// No call waits for an unreachable Redis, or is repeated, because that could count twice. An error
/// says whether the call may have counted ([`CounterError::is_unknown`]). Redis has
/// [`send_timeout`](crate::BusBuilder::send_timeout) to answer.
///
/// ```
/// use tidings::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// let bus = Bus::builder("memory:counter-docs").start().await?;
/// let visits = bus.counter("visits")?;
/// assert_eq!(visits.add(1).await?, 1);
/// assert_eq!(visits.add(2).await?, 3);
/// assert_eq!(visits.get().await?, 3);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Counter {
    name: Arc<str>,
    key: Arc<str>,
    keyspace: Arc<KeyspaceAccess>,
}

impl Counter {
    /// Returns the counter's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds `n`, which may be negative, and returns the sum. No two calls of any process return the
    /// same sum, as long as all of them count in one direction and none resets the counter. If the future
    /// is dropped before its end, it may or may not have counted.
    ///
    /// # Errors
    ///
    /// When the sum exceeds an `i64`, the key holds something else, or Redis is unreachable, rejects the
    /// command or does not answer.
    pub async fn add(&self, n: i64) -> Result<i64, CounterError> {
        self.request(|keys| keys.add(&self.key, n)).await
    }

    /// Returns the current value.
    ///
    /// # Errors
    ///
    /// When the counter's key holds something else, or Redis does not answer.
    pub async fn get(&self) -> Result<i64, CounterError> {
        let value = self.request(|keys| keys.count(&self.key)).await;
        value.map_err(CounterError::of_reading)
    }

    /// Sets the counter to 0 and returns its previous value, in one step: no count is lost. If the future
    /// is dropped before its end, the counter may be reset, and its previous value is lost.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub async fn reset(&self) -> Result<i64, CounterError> {
        self.request(|keys| keys.reset(&self.key)).await
    }

    async fn request(
        &self,
        operation: impl FnOnce(&dyn Keyspace) -> Answer<i64>,
    ) -> Result<i64, CounterError> {
        let answer = self.keyspace.request(operation).await;
        answer.map_err(|undone| self.error(undone))
    }

    fn error(&self, undone: NotDone) -> CounterError {
        let counter = self.name.to_string();
        match undone {
            NotDone::Foreign(words) => CounterError::Foreign {
                counter,
                words: words.to_string(),
            },
            NotDone::Overflow => CounterError::Overflow { counter },
            NotDone::Unconfirmed(why) => CounterError::Unconfirmed { counter, why },
        }
    }
}

impl Bus {
    /// Returns a counter that all processes of the namespace share. This call itself changes nothing;
    /// a new counter is 0.
    ///
    /// # Errors
    ///
    /// When the name breaks the rules of event names.
    pub fn counter(&self, name: &str) -> Result<Counter, CounterError> {
        check_name(name).map_err(|source| CounterError::Name {
            counter: name.to_owned(),
            source,
        })?;
        Ok(Counter {
            name: name.into(),
            key: self.inner.namespace.counter(name).into(),
            keyspace: Arc::clone(&self.inner.keyspace),
        })
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&self.name).finish()
    }
}
