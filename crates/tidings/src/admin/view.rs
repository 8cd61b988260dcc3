//! The view of the servers behind an address.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::admin::server::{self, Server};
use crate::error::connect::ConnectError;
use crate::namespace::Namespace;
use crate::observe::health::TopologyKind;
use crate::transport::servers::{Located, Servers};

/// The servers behind an address, from [`BusBuilder::admin`](crate::BusBuilder::admin).
///
/// It keeps no connection: each call connects to the servers that it asks, at most 256, with the TLS
/// options and the credentials of the builder.
#[derive(Clone)]
pub struct Admin {
    pub(super) servers: Arc<Servers>,
    pub(super) namespace: Namespace,
    /// The time to connect to a server, and for it to answer each question.
    pub(super) timeout: Duration,
}

/// The time that a server has to answer, unless it is set.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The longest time that is waited for an answer.
const LONGEST: Duration = Duration::from_hours(1);

impl Admin {
    pub(crate) fn new(servers: Servers, namespace: Namespace) -> Self {
        Self {
            servers: Arc::new(servers),
            namespace,
            timeout: TIMEOUT,
        }
    }

    /// Sets the time that a server has to accept a connection, and to answer each question. The default
    /// is 2 s. All questions together take at most five times as long: a field that is not known by then
    /// is `None` or empty. [`stored`](Self::stored) has this time for each server.
    ///
    /// ```no_run
    /// # use tidings::prelude::*;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let admin = Bus::builder("redis://10.0.0.7").admin()?.timeout(Duration::from_secs(5));
    /// println!("{:?}", admin.servers().await?);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(LONGEST);
        self
    }

    /// Returns the address, without a password.
    pub fn address(&self) -> &str {
        &self.servers.address
    }

    /// Returns the kind of topology that the address names.
    pub fn topology(&self) -> TopologyKind {
        self.servers.kind()
    }

    /// Asks every server for its state: a single server; the master, the replicas and the sentinels;
    /// or all nodes of a cluster. A user with
    /// [`Permissions::observe`](crate::acl::Permissions::observe) may ask all of it; for one without,
    /// the state has what it may not see in [`denied`](crate::admin::ServerState::denied).
    ///
    /// # Errors
    ///
    /// When no sentinel and no node of the cluster in the address answers. A server that cannot be
    /// reached is in the list, with the reason.
    pub async fn servers(&self) -> Result<Vec<Server>, ConnectError> {
        self.look(false).await
    }

    /// As [`servers`](Self::servers), with the [`settings`](crate::admin::ServerState::settings) of each server. The
    /// user also needs `+config|get +acl|whoami +acl|getuser`, which show passwords of the server.
    ///
    /// # Errors
    ///
    /// As [`servers`](Self::servers).
    pub async fn servers_with_settings(&self) -> Result<Vec<Server>, ConnectError> {
        self.look(true).await
    }

    async fn look(&self, with_settings: bool) -> Result<Vec<Server>, ConnectError> {
        let located = self.servers.locate().await?;
        Ok(self.look_at(&located, with_settings).await)
    }

    /// Asks these servers.
    pub(super) async fn look_at(&self, located: &[Located], with_settings: bool) -> Vec<Server> {
        let mut looking = Vec::new();
        for it in located {
            looking.push(self.look_at_one(it, with_settings));
        }
        let mut servers = join_all(looking).await;
        server::remove_twins(&mut servers);
        server::compare_offsets(&mut servers);
        servers
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("address", &self.servers.address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::Bus;

    fn is_send<T: Send>(_: &T) {}

    #[test]
    fn every_call_can_be_spawned() {
        let admin = Bus::builder("redis://127.0.0.1").admin().unwrap();
        is_send(&admin.servers());
        is_send(&admin.servers_with_settings());
        is_send(&async {
            let plan = admin.plan_failover("10.0.0.8:6379").await;
            plan.unwrap().run(|_, _| {}).await
        });
    }
}
