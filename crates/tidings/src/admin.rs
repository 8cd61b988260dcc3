//! The Redis servers behind an address, for operators: their roles, lag, memory and settings.
//! Needs the feature `admin`.
//!
//! ```no_run
//! use tidings::prelude::*;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
//! let admin = Bus::builder("redis+sentinel://10.0.0.1,10.0.0.2/mymaster").namespace("shop").admin()?;
//! for server in admin.servers().await? {
//!     match &server.state {
//!         Ok(state) => println!("{}: {}, {:?} bytes used", server.address, state.role, state.used_memory),
//!         Err(why) => println!("{}: {}", server.address, tidings::report(why)),
//!     }
//! }
//! # Ok(()) }
//! ```

mod answers;
mod certificate;
mod cluster_nodes;
mod databases;
mod examine;
mod fields;
mod info;
mod key_count;
mod look;
mod permissions;
mod server;
mod settings;

use std::fmt;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::admin::look::Scope;
use crate::error::connect::ConnectError;
use crate::namespace::Namespace;
use crate::observe::health::TopologyKind;
use crate::transport::servers::Servers;

pub use crate::admin::answers::Denied;
pub use crate::admin::cluster_nodes::ClusterNode;
pub use crate::admin::fields::Fields;
pub use crate::admin::key_count::KeyCount;
pub use crate::admin::permissions::{MissingPermissions, Part};
pub use crate::admin::server::{Replication, SentinelState, Server, ServerRole, ServerState};
pub use crate::admin::settings::{AclUser, Settings};

/// The servers behind an address, from [`BusBuilder::admin`](crate::BusBuilder::admin).
///
/// It keeps no connection: each call connects to the servers that it asks, at most 256, with the TLS
/// options and the credentials of the builder. Each server has 2 s to answer.
#[derive(Clone)]
pub struct Admin {
    servers: Arc<Servers>,
    namespace: Namespace,
}

impl Admin {
    pub(crate) fn new(servers: Servers, namespace: Namespace) -> Self {
        Self {
            servers: Arc::new(servers),
            namespace,
        }
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
    /// the state has what it may not see in [`denied`](ServerState::denied).
    ///
    /// # Errors
    ///
    /// When no sentinel and no node of the cluster in the address answers. A server that cannot be
    /// reached is in the list, with the reason.
    pub async fn servers(&self) -> Result<Vec<Server>, ConnectError> {
        self.look(false).await
    }

    /// As [`servers`](Self::servers), with the [`settings`](ServerState::settings) of each server. The
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
        let scope = Scope {
            servers: &self.servers,
            namespace: &self.namespace,
            with_settings,
        };
        let mut servers = join_all(located.iter().map(|it| scope.look(it))).await;
        server::remove_twins(&mut servers);
        server::compare_offsets(&mut servers);
        Ok(servers)
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("address", &self.servers.address)
            .finish_non_exhaustive()
    }
}
