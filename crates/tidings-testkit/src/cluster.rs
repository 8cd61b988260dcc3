//! A Redis Cluster: masters with slots, and their replicas.

mod builder;
mod faults;
mod partition;
mod shape;
mod slot_move;

use std::net::SocketAddr;

pub use self::builder::ClusterBuilder;
use self::partition::Doors;
pub use self::slot_move::SlotMove;
use crate::address::login;
use crate::server::Redis;

/// Real servers for one test: a Redis Cluster, by default of three masters with a replica each.
///
/// All of them are [`Redis`] values: kill, freeze and restart them as any other. A method that
/// takes a port takes [`Redis::port`] of one of them. All of them end when this is dropped, or when
/// the test ends in any other way.
///
/// Failovers are real. The servers declare one of them down after
/// [`node_timeout`](ClusterBuilder::node_timeout), and about a second later its replica has its
/// slots.
///
/// ```
/// use tidings_testkit::Cluster;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut cluster = Cluster::start().await;
/// assert!(cluster.url().starts_with("redis+cluster://127.0.0.1:"));
/// let owner = cluster.owner_of("colour").await;
/// owner.command(&["SET", "colour", "green"]).await;
///
/// let killed = cluster.kill_owner_of("colour").await;
/// let owner = cluster.wait_for_owner_other_than("colour", killed).await;
///
/// assert_eq!(owner.cli(&["GET", "colour"]).await, "green");
/// # }
/// ```
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Server>,
    /// Present if the network between the servers can be cut.
    doors: Option<Doors>,
}

/// A server, and the id by which the others know it.
#[derive(Debug)]
struct Server {
    redis: Redis,
    id: String,
    /// The port of the cluster bus, without a proxy in front of it.
    bus_port: u16,
}

/// # Starting
impl Cluster {
    /// Starts three masters and three replicas, and waits until each knows all others, so that a
    /// failover works at once. This takes about three seconds.
    ///
    /// # Panics
    ///
    /// If `redis-server` is not installed, or one of them does not start, with the reason.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Returns a builder, for other sizes, times and settings.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    /// Returns the URL with the addresses of all servers. It contains their password, if there is
    /// one.
    pub fn url(&self) -> String {
        match self.servers[0].redis.at().password() {
            Some(password) => self.url_as("", password),
            None => self.url_with(""),
        }
    }

    /// Like [`url`](Self::url), with an ACL user of the servers.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        self.url_with(&login(user, password))
    }

    /// Like [`url`](Self::url), through the TLS ports.
    ///
    /// # Panics
    ///
    /// If the cluster was started without [`ClusterBuilder::tls`].
    pub fn tls_url(&self) -> String {
        self.url().replacen("redis+", "rediss+", 1)
    }

    fn url_with(&self, login: &str) -> String {
        let addresses = self.addresses().into_iter().map(|one| one.to_string());
        let addresses: Vec<_> = addresses.collect();
        format!("redis+cluster://{login}{}", addresses.join(","))
    }

    /// Returns the addresses that clients connect to and that the servers name to each other, in
    /// the order of [`servers`](Self::servers).
    pub fn addresses(&self) -> Vec<SocketAddr> {
        (0..self.servers.len())
            .map(|one| self.address(one))
            .collect()
    }

    fn address(&self, server: usize) -> SocketAddr {
        match &self.doors {
            Some(doors) => doors.client_address(server),
            None => client_address(&self.servers[server].redis),
        }
    }

    /// Returns the servers: those that start as masters, then their replicas in the same order.
    pub fn servers(&self) -> impl Iterator<Item = &Redis> {
        self.servers.iter().map(|server| &server.redis)
    }

    /// Returns the servers, to kill and to restart them.
    pub fn servers_mut(&mut self) -> impl Iterator<Item = &mut Redis> {
        self.servers.iter_mut().map(|server| &mut server.redis)
    }

    /// Returns the server on this port: its own, or the one that clients connect to, which a health
    /// report has.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn server(&self, port: u16) -> &Redis {
        &self.servers[self.index(port)].redis
    }

    fn index(&self, port: u16) -> usize {
        let ports = |one: usize| [self.servers[one].redis.port(), self.address(one).port()];
        (0..self.servers.len())
            .find(|one| ports(*one).contains(&port))
            .unwrap_or_else(|| panic!("no server of the cluster is on port {port}"))
    }
}

/// The address of a server without a proxy in front of it.
fn client_address(redis: &Redis) -> SocketAddr {
    if redis.has_tls() {
        redis.tls_address()
    } else {
        redis.address()
    }
}
