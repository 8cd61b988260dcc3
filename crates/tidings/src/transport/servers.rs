//! All servers of a topology, and the access to each of them, for administration.

pub(super) mod located;

use redis::ConnectionAddr;

use crate::acl::Permissions;
use crate::error::connect::{ConnectError, UrlError};
use crate::namespace::Namespace;
use crate::namespace::channel::{Channel, PubSub};
use crate::observe::health::TopologyKind;
use crate::transport::address::Address;
use crate::transport::cluster::finder::Finder;
pub(crate) use crate::transport::cluster::node_line::NodeLine;
use crate::transport::cluster::slot_of;
use crate::transport::credentials::CredentialSource;
use crate::transport::sentinel::servers::SentinelServers;
use crate::transport::server::Server;
use crate::transport::server::redis_connection::Access;
pub(crate) use crate::transport::servers::located::Located;
use crate::transport::servers::located::MAX_SERVERS;
use crate::transport::tls::Tls;
use crate::transport::url;

/// The servers that an address leads to.
#[derive(Debug)]
pub(crate) struct Servers {
    /// The address, without a password.
    pub(crate) address: String,
    /// The channel of the namespace.
    pub(crate) channel: Channel,
    source: Source,
}

#[derive(Debug)]
enum Source {
    One(ConnectionAddr, Access),
    /// With the access to the servers: sentinels have users of their own.
    Sentinels(SentinelServers, Access),
    Cluster(Finder),
}

impl Servers {
    /// Parses an address. `memory:` has no servers.
    pub(crate) fn parse(
        url: &str,
        tls: Option<&Tls>,
        credentials: Option<CredentialSource>,
        namespace: &Namespace,
    ) -> Result<Self, UrlError> {
        let parsed = url::address(url, tls, credentials.is_some())?;
        let address = parsed.to_string();
        let access = |login: &_, tls| {
            let permissions = Permissions::of_everything(namespace, 0);
            Access::new(login, tls, permissions).with_credentials(credentials.clone())
        };
        let channel = channel(&parsed, namespace);
        let source = match parsed {
            Address::Memory(_) => {
                return Err(UrlError::Malformed {
                    reason: "it has no servers: write the address of a Redis".to_owned(),
                });
            }
            Address::Server { at, login, tls } => Source::One(at, access(&login, tls)),
            Address::Sentinels {
                sentinels,
                master,
                login,
                sentinel_login,
                tls,
            } => {
                let servers = access(&login, tls.clone());
                let own = (&sentinel_login, tls);
                Source::Sentinels(SentinelServers::new(sentinels, &master, own), servers)
            }
            Address::Cluster {
                nodes,
                pubsub,
                login,
                tls,
            } => {
                let server = Server::of_cluster(&login, tls, credentials, namespace, pubsub);
                Source::Cluster(Finder::new(server, slot_of(namespace), nodes))
            }
        };
        Ok(Self {
            address,
            channel,
            source,
        })
    }

    pub(crate) fn kind(&self) -> TopologyKind {
        match self.source {
            Source::One(..) => TopologyKind::Standalone,
            Source::Sentinels(..) => TopologyKind::Sentinel,
            Source::Cluster(_) => TopologyKind::Cluster,
        }
    }

    /// Returns the servers that the address, the sentinels or the nodes name.
    pub(crate) async fn locate(&self) -> Result<Vec<Located>, ConnectError> {
        let mut located = match &self.source {
            Source::One(at, _) => vec![Located::server(at.clone())],
            Source::Sentinels(sentinels, _) => sentinels.locate().await?,
            Source::Cluster(finder) => finder.locate().await?,
        };
        located.truncate(MAX_SERVERS);
        Ok(located)
    }

    /// The access to a server: sentinels have users of their own.
    pub(crate) fn access(&self, located: &Located) -> &Access {
        match &self.source {
            Source::One(_, access) => access,
            Source::Sentinels(sentinels, _) if located.is_sentinel => &sentinels.access,
            Source::Sentinels(_, servers) => servers,
            Source::Cluster(finder) => &finder.server.access,
        }
    }

    /// The slot of the namespace in a cluster.
    pub(crate) fn slot(&self) -> Option<u16> {
        match &self.source {
            Source::Cluster(finder) => Some(finder.slot),
            Source::One(..) | Source::Sentinels(..) => None,
        }
    }

    /// The name of the master that the sentinels watch.
    pub(crate) fn master(&self) -> Option<&str> {
        match &self.source {
            Source::Sentinels(sentinels, _) => Some(&sentinels.master),
            Source::One(..) | Source::Cluster(_) => None,
        }
    }
}

fn channel(address: &Address, namespace: &Namespace) -> Channel {
    let (database, kind) = match address {
        Address::Server { login, .. } | Address::Sentinels { login, .. } => {
            (login.db(), PubSub::Classic)
        }
        Address::Cluster { pubsub, .. } => (0, *pubsub),
        Address::Memory(_) => (0, PubSub::Classic),
    };
    let name = namespace.channel_in(database);
    Channel { name, kind }
}
