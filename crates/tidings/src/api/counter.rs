//! A number that is right whichever process counts.

use std::fmt;
use std::sync::Arc;

use tidings_codec::check_name;

use crate::Bus;
use crate::error::counter::CounterError;
use crate::keyspace::Keyspace;
use crate::keyspace::access::{KeyspaceAccess, NotDone};
use crate::keyspace::answer::Answer;

/// A number in Redis that all processes of the namespace count together. Cheap to clone;
/// [`Bus::counter`] gives it.
///
/// A number that nobody counted yet is 0: do not set it at the start of a process, which would take
/// away what others counted. It lies under the key `tidings:{namespace}:counter:NAME`, so
/// `redis-cli` can read and change it, too.
///
/// Nothing here waits for a Redis that is away, or asks twice: counted twice would be wrong. An
/// error says whether it may have been counted ([`CounterError::is_unknown`]). Redis has
/// [`send_timeout`](crate::BusBuilder::send_timeout) to answer.
///
/// ```
/// use tidings::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bus = Bus::builder("memory:counter-docs").start().await?;
/// let visits = bus.counter("visits")?;
/// assert_eq!(visits.add(1).await?, 1);
/// assert_eq!(visits.add(2).await?, 3);
/// assert_eq!(visits.get().await?, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Counter {
    name: Arc<str>,
    key: Arc<str>,
    keyspace: Arc<KeyspaceAccess>,
}

impl Counter {
    /// The name that it was asked for with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds `n`, which may be negative, and returns the sum: no two calls of any process get the
    /// same one, as long as all of them count in one direction and nobody resets it.
    ///
    /// # Errors
    ///
    /// When the sum would not fit into an `i64`, something else lies under the key, or Redis is
    /// away, refuses it or does not answer.
    pub async fn add(&self, n: i64) -> Result<i64, CounterError> {
        self.ask(|keys| keys.add(&self.key, n)).await
    }

    /// What it is now.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub async fn get(&self) -> Result<i64, CounterError> {
        self.ask(|keys| keys.count(&self.key)).await
    }

    /// Makes it 0, and returns what it was: nothing that was counted is in neither number.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub async fn reset(&self) -> Result<i64, CounterError> {
        self.ask(|keys| keys.reset(&self.key)).await
    }

    async fn ask(
        &self,
        question: impl FnOnce(&dyn Keyspace) -> Answer<i64>,
    ) -> Result<i64, CounterError> {
        let answer = self.keyspace.ask(question).await;
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
    /// A number that all processes of the namespace count together. Asking for it changes nothing:
    /// one that nobody counted yet is 0.
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
