//! What a bus asks of the keys that its namespace keeps in Redis: at once or not at all, and with
//! an honest word about what became of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::context::TokioContext;

use crate::error::members::MembersError;
use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::keyspace::Keyspace;
use crate::keyspace::answer::{Answer, KeyError};

/// The way to the keys, while there is one.
#[derive(Debug)]
pub(crate) struct KeyspaceAccess {
    way: watch::Sender<Availability>,
    /// How long an answer may take.
    patience: Duration,
    /// Where the time runs, whichever thread asks.
    runtime: Handle,
    /// Keeps back each answer for as long as it is held.
    #[cfg(test)]
    pub(crate) answers: tokio::sync::Mutex<()>,
}

/// The way to the keys, or why there is none.
pub(crate) type Availability = Result<Arc<dyn Keyspace>, SendFailure>;

/// Why something was not done with a key, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotDone {
    /// What lies under the key is of another kind, in these words of Redis's.
    Foreign(Arc<str>),
    /// The number would not fit.
    Overflow,
    Unconfirmed(Unconfirmed),
}

impl KeyspaceAccess {
    /// Inside the runtime of the bus.
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            way: watch::Sender::new(Err(SendFailure::Unreachable)),
            patience,
            runtime: Handle::current(),
            #[cfg(test)]
            answers: tokio::sync::Mutex::default(),
        }
    }

    /// The link has connected, or is away, or has ended.
    pub(crate) fn set(&self, way: Availability) {
        let _ = self.way.send_replace(way);
    }

    /// The way to the keys, and each change of it: a new one after each reconnect.
    pub(crate) fn watch(&self) -> watch::Receiver<Availability> {
        self.way.subscribe()
    }

    /// How long an answer may take.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Asks, if Redis is there. Nothing is repeated: what was asked may count.
    pub(crate) async fn ask<T>(
        &self,
        question: impl FnOnce(&dyn Keyspace) -> Answer<T>,
    ) -> Result<T, NotDone> {
        // The lock is let go before anything waits.
        let asking = match &*self.way.borrow() {
            Ok(keyspace) => question(&**keyspace),
            Err(reason) => return Err(NotDone::Unconfirmed(Unconfirmed::NotSent(reason.clone()))),
        };
        #[cfg(test)]
        let asking = async {
            let answer = asking.await;
            drop(self.answers.lock().await);
            answer
        };
        let answer = async { timeout(self.patience, asking).await };
        match self.in_runtime(answer).await {
            Ok(answer) => answer.map_err(NotDone::from),
            Err(_) => Err(NotDone::Unconfirmed(Unconfirmed::Unknown(
                SendFailure::TimedOut(self.patience),
            ))),
        }
    }
}

impl KeyspaceAccess {
    /// The end of the runtime, where that has ended the bus, or else this reason.
    pub(crate) fn ended_or(&self, reason: SendFailure) -> SendFailure {
        match &*self.way.borrow() {
            Err(SendFailure::RuntimeEnded) => SendFailure::RuntimeEnded,
            _ => reason,
        }
    }

    /// Polls a future in the runtime of the bus: what takes time can then be awaited on a thread
    /// that is none of Tokio's.
    pub(crate) fn in_runtime<F: Future>(&self, future: F) -> TokioContext<F> {
        TokioContext::new(future, self.runtime.clone())
    }
}

impl NotDone {
    /// Whether the user may not do it: then Redis's words come with the command that allows it.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Unconfirmed(Unconfirmed::NotSent(SendFailure::Refused(words))) if words.contains("ACL SETUSER"))
    }

    /// Whether Redis refused it for a reason that can be over at any moment, as while it loads its
    /// dataset.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unconfirmed(Unconfirmed::NotSent(SendFailure::Refused(_)))
        ) && !self.is_denied()
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
            KeyError::Lost => Self::Unconfirmed(Unconfirmed::Unknown(SendFailure::Lost)),
        }
    }
}

impl From<NotDone> for MembersError {
    fn from(undone: NotDone) -> Self {
        match undone {
            NotDone::Foreign(words) => Self::Foreign {
                words: words.to_string(),
            },
            NotDone::Overflow => Self::Foreign {
                words: "a number does not fit".to_owned(),
            },
            NotDone::Unconfirmed(Unconfirmed::NotSent(reason) | Unconfirmed::Unknown(reason)) => {
                Self::Unread { reason }
            }
        }
    }
}
