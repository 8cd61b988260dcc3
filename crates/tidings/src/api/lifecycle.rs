//! The id and health of a bus, and its shutdown.

use std::sync::Arc;
use std::time::Duration;

use tidings_codec::NodeId;
use tokio::time::Instant;

use crate::bus::Bus;
use crate::bus::shutdown::shut_down;
use crate::error::shutdown::ShutdownError;
use crate::observe::health::{Health, HealthWatch};
use crate::task::FOREVER;

impl Bus {
    /// Returns the node id of this bus, to which other processes can [`send_to`](Self::send_to).
    pub fn id(&self) -> NodeId {
        self.inner.me
    }

    /// Returns a clone of the bus for events that are useless when late: a send through it fails at
    /// once while Redis is unreachable, instead of waiting.
    ///
    /// If the connection is lost while such an event waits or is under way, it is sent again with the
    /// other events of its frame. [`BusBuilder::volatile`](crate::BusBuilder::volatile) applies to
    /// all sends of a bus, and also gives up those.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:volatile-docs").start().await?;
    /// if bus.volatile().send_to_all("cursor.moved", &(12, 7)).await.is_err() {
    ///     // An old position is of no use.
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use = "only what is sent through the clone is volatile"]
    pub fn volatile(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            guard: self.guard.clone(),
            is_volatile: true,
        }
    }

    /// Returns the current health of the bus.
    pub fn health(&self) -> Health {
        self.watch_health().now()
    }

    /// Returns a watch of the bus's health: it reports when the bus is disconnected and why, and
    /// when it receives again. The watch does not keep the bus alive.
    pub fn watch_health(&self) -> HealthWatch {
        self.inner.watch_health()
    }

    /// Returns whether the bus receives events, for the readiness probe of a service: `false` from
    /// the detection of a lost connection until Redis has confirmed the subscription again. With a
    /// [journal](crate::Journal), it must be connected to that, too.
    pub fn is_ready(&self) -> bool {
        self.inner.is_connected()
    }

    /// Waits until this bus has read the entries that were in its [journal](crate::Journal) when it
    /// started, or until the bus is shut down. Returns at once without a journal.
    ///
    /// The events are in the queues of their handlers then; handlers may still run.
    ///
    /// A bus that starts as the standby of a [durable name](crate::Journal::durable) leaves these
    /// entries to the reader of the name. There this returns at once, also after the standby has taken
    /// over.
    pub async fn caught_up(&self) {
        if let Some(journal) = &self.inner.journal {
            let mut caught_up = journal.caught_up.subscribe();
            let _ = caught_up.wait_for(|caught_up| *caught_up).await;
        }
    }

    /// Shuts the bus down within `deadline`: receives the events that it has sent itself, stops
    /// receiving, lets handlers finish their queues, sends what waits, and disconnects. Events that
    /// wait in streams can still be read.
    ///
    /// Sends of other tasks succeed until the handlers have ended, and fail afterwards. Handlers of this
    /// bus may not receive an event that is sent after this call.
    ///
    /// Called in a handler, it does not wait for that handler, nor for the events in its queue: they
    /// are counted in the error, and handled after the handler has returned. Two handlers that call it
    /// wait for each other until the deadline, and so does the hook of
    /// [`on_failure`](crate::BusBuilder::on_failure).
    ///
    /// Dropping this future does not stop the shutdown. A second call waits for the first one, and
    /// returns the same result.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:shutdown-docs").start().await?;
    /// bus.shutdown(std::time::Duration::from_secs(5)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the deadline has passed: the error counts the events that were not handled or not sent.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), ShutdownError> {
        let ending = {
            let mut ending = self.inner.ending.lock();
            let begin = || {
                shut_down(
                    Arc::clone(&self.inner),
                    Instant::now() + deadline.min(FOREVER),
                )
            };
            ending.get_or_insert_with(begin).clone()
        };
        ending.await
    }
}
