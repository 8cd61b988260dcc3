//! Access to the keyspace while Redis is reachable.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::context::TokioContext;

use crate::error::send_failure::SendFailure;
use crate::keyspace::Keyspace;
use crate::keyspace::answer::{Answer, NotDone};
use crate::task::mutex::Mutex;

/// The time for which the keys may have no server before requests fail at once.
const MOVE: Duration = Duration::from_millis(500);

/// Access to the keyspace.
pub(crate) struct KeyspaceAccess {
    availability: watch::Sender<Availability>,
    /// The parts of [`availability`](Self::availability).
    known: Mutex<Known>,
    /// The limit for one answer.
    patience: Duration,
    /// The runtime of the bus, for tasks, and for timeouts on any thread.
    pub(crate) runtime: Handle,
    /// Delays each answer while it is locked.
    #[cfg(test)]
    pub(crate) answers: tokio::sync::Mutex<()>,
}

/// The connection of the bus, and the server that has the keys.
struct Known {
    connected: Availability,
    server: Result<(), SendFailure>,
}

/// The keyspace, or why it is unreachable.
pub(crate) type Availability = Result<Arc<dyn Keyspace>, SendFailure>;

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

    /// Waits for the end of the bus.
    pub(crate) async fn ended(&self) {
        let is_end = |state: &Availability| state.as_ref().is_err_and(SendFailure::is_end);
        let _ = self.watch().wait_for(is_end).await;
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
            Err(reason) => return Err(NotDone::not_sent(reason.clone())),
        };
        #[cfg(test)]
        let answering = async {
            let answer = answering.await;
            drop(self.answers.lock().await);
            answer
        };
        let answer = async { timeout(self.patience, answering).await };
        let late = |_| Err(NotDone::unknown(SendFailure::TimedOut(self.patience)));
        self.in_runtime(answer).await.unwrap_or_else(late)
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
