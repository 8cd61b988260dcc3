//! Starting a bus, its health, and its end.

use std::sync::Arc;
use std::time::Duration;

use tidings_codec::NodeId;
use tokio::time::Instant;

use crate::api::builder::BusBuilder;
use crate::bus::Bus;
use crate::bus::shutdown::shut_down;
use crate::error::shutdown::ShutdownError;
use crate::error::start::StartError;
use crate::observe::health::{Connection, Health, HealthWatch};
use crate::task::FOREVER;
use crate::transport::url;

impl Bus {
    /// Starts a bus on the Redis that `TIDINGS_URL` names, or else on `redis://127.0.0.1:6379`,
    /// with defaults for everything.
    ///
    /// # Errors
    ///
    /// When there is no Tokio runtime, Redis cannot be reached within 10 s or refuses this process, or
    /// a handler marked `#[tidings::on]` cannot be registered.
    ///
    /// # Panics
    ///
    /// In a Tokio runtime without timers and I/O (`enable_all`).
    pub async fn start() -> Result<Self, StartError> {
        Self::builder(&url::from_environment()?).start().await
    }

    /// Begins to describe a bus on `url`, whatever `TIDINGS_URL` says:
    ///
    /// | | |
    /// |---|---|
    /// | `redis://user:password@host:port/db` | one Redis, over TCP; all but the host may be missing |
    /// | `rediss://user:password@host:port/db` | the same with TLS, which needs the feature `tls` |
    /// | `unix:///path?user=…&pass=…&db=…` | one Redis, over a Unix socket |
    /// | `redis+sentinel://user:password@host:port,host:port/master` | the master that these sentinels name; `rediss+sentinel:` with TLS |
    /// | `memory:name` | no Redis: all buses of this process under this name |
    ///
    /// White space around it does not count. Odd characters in a user, a password or a path are
    /// written with `%`, such as `%23` for `#`.
    pub fn builder(url: &str) -> BusBuilder {
        BusBuilder::new(url)
    }

    /// This bus's id: other processes can [`send_to`](Self::send_to) it.
    pub fn id(&self) -> NodeId {
        self.inner.me
    }

    /// The same bus, for events that are worth nothing when they are late: what is sent through this
    /// clone fails at once while Redis is away, instead of waiting for it. An event that waits in a
    /// frame or is on its way when the connection is lost shares the fate of the others there.
    /// [`BusBuilder::volatile`] is for all that a bus sends, and gives up those, too.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:volatile-docs").start().await?;
    /// if bus.volatile().send_to_all("cursor.moved", &(12, 7)).await.is_err() {
    ///     // Nobody needs to know where it was a minute ago.
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "only what is sent through the clone is volatile"]
    pub fn volatile(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            guard: self.guard.clone(),
            is_volatile: true,
        }
    }

    /// How the bus is doing at this moment.
    pub fn health(&self) -> Health {
        self.watch_health().now()
    }

    /// Tells of each change: when the bus stops hearing and why, and when it hears again. Holding
    /// it does not keep the bus alive.
    pub fn watch_health(&self) -> HealthWatch {
        HealthWatch::new(&self.inner.health, Arc::clone(self.inner.outgoing.bytes()))
    }

    /// Whether the bus hears, for a service's readiness probe: `false` from the moment at which it
    /// is known to be deaf until Redis confirmed its subscription again.
    pub fn is_ready(&self) -> bool {
        matches!(
            *self.inner.health.connection.borrow(),
            Connection::Up { .. }
        )
    }

    /// Ends the bus within `deadline`: hears what it sent itself and Redis took, stops hearing,
    /// lets handlers finish what waits for them, sends what waits, and disconnects. Later sends
    /// fail. What is read from streams can still be read.
    ///
    /// It goes on when this future is dropped. A second call waits for the first, and ends as it
    /// does.
    ///
    /// # Errors
    ///
    /// When the time was up: the error counts what was left behind.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), ShutdownError> {
        let ending = {
            let mut ending = self.inner.lock_ending();
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
