//! Starting a bus.

use crate::api::builder::BusBuilder;
use crate::bus::Bus;
use crate::error::start::StartError;
use crate::transport::url;

impl Bus {
    /// Starts a bus with the default options, on the Redis of the environment variable
    /// `TIDINGS_URL`, or on `redis://127.0.0.1:6379` if it is not set.
    ///
    /// ```no_run
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let bus = Bus::start().await?;
    /// bus.send_to_all("cache.clear", "user:7").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When `TIDINGS_URL` is not a valid address, there is no Tokio runtime, Redis cannot be reached
    /// within 10 s or rejects this process, or a handler marked `#[tidings::on]` cannot be
    /// registered.
    ///
    /// # Panics
    ///
    /// In a Tokio runtime without timers and I/O (`enable_all`).
    pub async fn start() -> Result<Self, StartError> {
        Self::from_env().start().await
    }

    /// Returns a builder for a bus on the Redis of the environment variable `TIDINGS_URL`, or on
    /// `redis://127.0.0.1:6379` if it is not set. If the variable is not a valid address,
    /// [`start`](BusBuilder::start) fails.
    ///
    /// ```no_run
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let bus = Bus::from_env().namespace("shop").role("api").start().await?;
    /// # Ok(()) }
    /// ```
    pub fn from_env() -> BusBuilder {
        BusBuilder::new(url::from_environment())
    }

    /// Returns a builder for a bus on `url`. `TIDINGS_URL` is not read.
    ///
    /// | | |
    /// |---|---|
    /// | `redis://user:password@host:port/db` | one Redis server over TCP; everything but the host is optional |
    /// | `rediss://user:password@host:port/db` | the same with TLS; needs the feature `tls` |
    /// | `unix:///path?user=…&pass=…&db=…` | one Redis server over a Unix socket |
    /// | `redis+sentinel://user:password@host:port,host:port/master` | the master that these sentinels name; `rediss+sentinel:` with TLS |
    /// | `redis+cluster://user:password@host:port,host:port` | the Redis Cluster with these nodes and all that they name; `rediss+cluster:` with TLS |
    /// | `memory:name` | no Redis: all buses of this process with this name |
    ///
    /// White space around the address is ignored. Special characters in a user, a password or a path
    /// are percent-encoded, such as `%23` for `#`.
    pub fn builder(url: &str) -> BusBuilder {
        BusBuilder::new(Ok(url.to_owned()))
    }
}
