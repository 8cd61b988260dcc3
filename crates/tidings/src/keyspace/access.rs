//! Access to the keyspace while Redis is reachable. Errors say whether an operation may have been
//! done.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::context::TokioContext;

use crate::error::members::MembersError;
use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::error::shared::{LoadError, StoreError};
use crate::keyspace::Keyspace;
use crate::keyspace::answer::{Answer, KeyError};
use crate::task::mutex::Mutex;

/// The time for which the keys may have no server before requests fail at once.
const MOVE: Duration = Duration::from_millis(500);

/// Access to the keyspace.
#[derive(Debug)]
pub(crate) struct KeyspaceAccess {
    availability: watch::Sender<Availability>,
    /// The parts of [`availability`](Self::availability).
    known: Mutex<Known>,
    /// The limit for one answer.
    patience: Duration,
    /// The runtime of the bus, for timeouts on any thread.
    runtime: Handle,
    /// Delays each answer while it is locked.
    #[cfg(test)]
    pub(crate) answers: tokio::sync::Mutex<()>,
}

/// The connection of the bus, and the server that has the keys.
#[derive(Debug)]
struct Known {
    connected: Availability,
    server: Result<(), SendFailure>,
}

/// The keyspace, or why it is unreachable.
pub(crate) type Availability = Result<Arc<dyn Keyspace>, SendFailure>;

/// The reason why an operation on a key was not done, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotDone {
    /// The key has a value of another type; this is Redis's message.
    Foreign(Arc<str>),
    /// The number would overflow.
    Overflow,
    Unconfirmed(Unconfirmed),
}

impl KeyspaceAccess {
    /// Must be called in the runtime of the bus.
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            availability: watch::Sender::new(Err(SendFailure::Unreachable)),
            known: Mutex::new(Known {
                connected: Err(SendFailure::Unreachable),
                server: Ok(()),
            }),
            patience,
            runtime: Handle::current(),
            #[cfg(test)]
            answers: tokio::sync::Mutex::default(),
        }
    }

    /// Sets the keyspace after a connect, or the reason after a disconnect or the end.
    pub(crate) fn set(&self, availability: Availability) {
        self.change(|known| known.connected = availability);
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        // Held until the result is published, so that no older one replaces it.
        let mut known = self.known.lock();
        change(&mut known);
        let availability = match (&known.connected, &known.server) {
            (Ok(_), Err(why)) => Err(why.clone()),
            (connected, _) => connected.clone(),
        };
        let _ = self.availability.send_replace(availability);
    }

    /// Follows the server that has the keys, where that can change while the bus is connected, until
    /// its sender is dropped. Each change counts as a reconnect: the new server may have lost writes.
    pub(crate) async fn follow(&self, mut server: watch::Receiver<Result<u64, Arc<str>>>) {
        while server.changed().await.is_ok() {
            let is_there = server.borrow_and_update().is_ok();
            // A move that takes a moment is waited for by each request.
            let is_back = is_there
                || timeout(MOVE, server.wait_for(Result::is_ok))
                    .await
                    .is_ok_and(|there| there.is_ok());
            let why = server
                .borrow_and_update()
                .clone()
                .err()
                .filter(|_| !is_back);
            let server = why.map_or(Ok(()), |why| Err(SendFailure::NoServer(why)));
            self.change(|known| known.server = server);
        }
    }

    /// Watches the availability, which changes with each reconnect.
    pub(crate) fn watch(&self) -> watch::Receiver<Availability> {
        self.availability.subscribe()
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Requests an operation if Redis is reachable. It is never repeated, because it may have been done.
    pub(crate) async fn request<T>(
        &self,
        operation: impl FnOnce(&dyn Keyspace) -> Answer<T>,
    ) -> Result<T, NotDone> {
        // The lock is released before the await.
        let answering = match &*self.availability.borrow() {
            Ok(keyspace) => operation(&**keyspace),
            Err(reason) => return Err(NotDone::Unconfirmed(Unconfirmed::NotSent(reason.clone()))),
        };
        #[cfg(test)]
        let answering = async {
            let answer = answering.await;
            drop(self.answers.lock().await);
            answer
        };
        let answer = async { timeout(self.patience, answering).await };
        match self.in_runtime(answer).await {
            Ok(answer) => answer.map_err(NotDone::from),
            Err(_) => Err(NotDone::Unconfirmed(Unconfirmed::Unknown(
                SendFailure::TimedOut(self.patience),
            ))),
        }
    }

    /// Returns `RuntimeEnded` if that ended the bus, or else this reason.
    pub(crate) fn ended_or(&self, reason: SendFailure) -> SendFailure {
        match &*self.availability.borrow() {
            Err(SendFailure::RuntimeEnded) => SendFailure::RuntimeEnded,
            _ => reason,
        }
    }

    /// Polls a future in the runtime of the bus, so that it can use timers on a thread without
    /// Tokio.
    pub(crate) fn in_runtime<F: Future>(&self, future: F) -> TokioContext<F> {
        TokioContext::new(future, self.runtime.clone())
    }
}

impl NotDone {
    /// Returns whether the user lacks a permission: the message then has the command that grants
    /// it.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Unconfirmed(Unconfirmed::NotSent(SendFailure::Refused(words))) if words.contains("ACL SETUSER"))
    }

    /// Returns whether Redis refused for a reason that may end at any moment, as while it loads its
    /// dataset or during a failover.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unconfirmed(Unconfirmed::NotSent(
                SendFailure::Refused(_) | SendFailure::NoServer(_)
            ))
        ) && !self.is_denied()
    }
}

impl NotDone {
    /// Returns the error of reading the shared value or map of this name.
    pub(crate) fn into_load_error(self, shared: &str) -> LoadError {
        let shared = shared.to_owned();
        let words = match self {
            Self::Foreign(words) => words.to_string(),
            Self::Overflow => "its version would overflow".to_owned(),
            Self::Unconfirmed(why) => {
                let reason = why.into_reason();
                return LoadError::Unread { shared, reason };
            }
        };
        LoadError::Foreign { shared, words }
    }

    /// Returns the error of changing the shared value or map of this name.
    pub(crate) fn into_store_error(self, shared: &str) -> StoreError {
        match self {
            Self::Unconfirmed(why) => {
                let shared = shared.to_owned();
                StoreError::Unconfirmed { shared, why }
            }
            other => StoreError::not_read(shared, other.into_load_error(shared)),
        }
    }
}

impl From<KeyError> for NotDone {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Foreign(words) => Self::Foreign(words.into()),
            KeyError::Overflow => Self::Overflow,
            KeyError::Refused(words) => {
                Self::Unconfirmed(Unconfirmed::NotSent(SendFailure::Refused(words.into())))
            }
            KeyError::NoServer(why) => {
                Self::Unconfirmed(Unconfirmed::NotSent(SendFailure::NoServer(why.into())))
            }
            KeyError::Lost => Self::Unconfirmed(Unconfirmed::Unknown(SendFailure::Lost)),
        }
    }
}

impl From<NotDone> for MembersError {
    fn from(error: NotDone) -> Self {
        let words = match error {
            NotDone::Foreign(words) => words.to_string(),
            NotDone::Overflow => "a number would overflow".to_owned(),
            NotDone::Unconfirmed(why) => {
                let reason = why.into_reason();
                return Self::Unread { reason };
            }
        };
        Self::Foreign { words }
    }
}
