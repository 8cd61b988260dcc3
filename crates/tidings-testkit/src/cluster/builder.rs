//! Options of a test's cluster, and its start.

use std::time::Duration;

use futures_util::future::join_all;
use redis::FromRedisValue;
use tokio::time::timeout;

use super::partition::Doors;
use super::shape::SLOTS;
use super::{Cluster, Server};
use crate::builder::RedisBuilder;
use crate::port::free_port;
use crate::proxy::INSIDE;
use crate::server::{PORTS_TO_TRY, Redis};
use crate::start::StartError;
use crate::tls::Authority;
use crate::version::Version;
use crate::wait::poll;

const IS_WHOLE_WITHIN: Duration = Duration::from_secs(30);

/// Options of a test's cluster. Made by [`Cluster::builder`].
///
/// ```
/// use std::time::Duration;
/// use tidings_testkit::Cluster;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let cluster = Cluster::builder()
///     .masters(3)
///     .replicas(0)
///     .node_timeout(Duration::from_secs(15))
///     .servers(|server| server.password("hush-hush"))
///     .start()
///     .await;
///
/// assert_eq!(cluster.servers().count(), 3);
/// assert!(cluster.url().starts_with("redis+cluster://:hush-hush@127.0.0.1:"));
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is started"]
pub struct ClusterBuilder {
    masters: usize,
    replicas: usize,
    node_timeout: Duration,
    server: RedisBuilder,
    has_doors: bool,
}

impl Default for ClusterBuilder {
    fn default() -> Self {
        Self {
            masters: 3,
            replicas: 1,
            node_timeout: Duration::from_millis(1_500),
            server: Redis::builder(),
            has_doors: false,
        }
    }
}

impl ClusterBuilder {
    /// Sets the number of masters: three by default. Without three, the others cannot decide that
    /// one of them is down.
    pub fn masters(mut self, masters: usize) -> Self {
        self.masters = masters;
        self
    }

    /// Sets the number of replicas of each master: one by default.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Sets the time without an answer after which a server is down for the others
    /// (`cluster-node-timeout`): 1.5 seconds by default. Redis's own default is 15 seconds.
    pub fn node_timeout(mut self, node_timeout: Duration) -> Self {
        self.node_timeout = node_timeout;
        self
    }

    /// Configures all servers: a password, ACL users, any setting, another program.
    pub fn servers(mut self, describe: impl FnOnce(RedisBuilder) -> RedisBuilder) -> Self {
        self.server = describe(self.server);
        self
    }

    /// Makes the servers listen with TLS too, and use it among themselves. [`Cluster::tls_url`] is
    /// the URL. One authority signs all certificates: [`Redis::ca_file`] of any server.
    pub fn tls(self) -> Self {
        self.servers(|server| server.tls().authority(Authority::default()))
            .servers(|server| server.config("tls-cluster", "yes"))
            .servers(|server| server.config("tls-replication", "yes"))
    }

    /// Allows [`Cluster::partition`]: proxies stand in front of all servers, and the servers name
    /// the addresses of the proxies (`cluster-announce-port`). Not together with TLS.
    pub fn partitions(mut self) -> Self {
        self.has_doors = true;
        self.servers(|server| server.user(format!("{INSIDE} on >{INSIDE} ~* &* +@all")))
    }

    /// Starts all servers, makes them a cluster, and waits until each server knows all others, each
    /// replica is in sync with its master, and all servers name all others to clients.
    ///
    /// # Panics
    ///
    /// If `redis-server` is not installed, or one of them does not start, with the reason; without
    /// a master.
    pub async fn start(self) -> Cluster {
        assert!(self.masters > 0, "a cluster has at least one master");
        let count = self.masters * (1 + self.replicas);
        let doors = if self.has_doors {
            Some(Doors::start(count).await)
        } else {
            None
        };
        let servers = self.start_servers(count, doors.as_ref()).await;
        let cluster = Cluster { servers, doors };
        let forms = async {
            cluster.form(self.masters).await;
            cluster.settle().await;
        };
        let formed = timeout(IS_WHOLE_WITHIN, forms).await;
        formed.expect("the servers find each other and the replicas their masters");
        cluster
    }

    async fn start_servers(&self, count: usize, doors: Option<&Doors>) -> Vec<Server> {
        let launching = (0..count).map(|one| launch(self.server(one, doors)));
        let started = join_all(launching).await;
        let mut servers = Vec::new();
        for (one, (redis, bus_port)) in started.into_iter().enumerate() {
            if let Some(doors) = doors {
                doors.redirect(one, &redis, bus_port);
            }
            let id = redis.command(&["CLUSTER", "MYID"]).await;
            let id = String::from_redis_value(id).expect("CLUSTER MYID answers a text");
            servers.push(Server {
                redis,
                id,
                bus_port,
            });
        }
        servers
    }

    fn server(&self, one: usize, doors: Option<&Doors>) -> RedisBuilder {
        let node_timeout = self.node_timeout.as_millis().to_string();
        let server = self
            .server
            .clone()
            .config("cluster-enabled", "yes")
            .config("cluster-config-file", "nodes.conf")
            .config("cluster-node-timeout", node_timeout)
            // The servers name a replica to clients once its offset is above 0, and it is the first
            // PING of its master that raises it.
            .config("repl-ping-replica-period", "1");
        match doors {
            Some(doors) => doors.announce(one, server),
            None => server,
        }
    }
}

/// Starts a server, and returns the port of its cluster bus too.
async fn launch(builder: RedisBuilder) -> (Redis, u16) {
    for _ in 0..PORTS_TO_TRY {
        let port = free_port();
        let mut builder = builder.clone();
        // 10,000 above by default, where another server may listen.
        let mut bus_port = port + 10_000;
        if Version::of(&builder.server()) >= Version::new(7, 0) {
            bus_port = free_port();
            builder = builder.config("cluster-port", bus_port.to_string());
        }
        match Redis::launch_on(port, builder).await {
            Ok(redis) => return (redis, bus_port),
            Err(StartError::PortTaken(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("cannot start redis-server: {PORTS_TO_TRY} free ports were taken by other programs");
}

/// # Forming the cluster
impl Cluster {
    /// Gives the slots to the masters, introduces all servers to each other, and gives the replicas
    /// their masters.
    async fn form(&self, masters: usize) {
        for (one, server) in self.servers.iter().enumerate() {
            let redis = &server.redis;
            // Equal epochs would have to be resolved first.
            let epoch = (one + 1).to_string();
            redis
                .command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch])
                .await;
            if one < masters {
                add_slots(redis, one, masters).await;
            }
        }
        for one in 0..self.servers.len() {
            for other in 0..one {
                self.introduce(one, other).await;
            }
        }
        for (one, server) in self.servers.iter().enumerate().skip(masters) {
            let master = &self.servers[one % masters].id;
            let replicate = ["CLUSTER", "REPLICATE", master];
            // It is an error until the server knows its master.
            poll(async || server.redis.try_command(&replicate).await.is_ok()).await;
        }
    }

    async fn introduce(&self, one: usize, other: usize) {
        let address = self.address(other);
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let bus_port = match &self.doors {
            Some(doors) => doors.bus_port(other),
            None => self.servers[other].bus_port,
        };
        let bus_port = bus_port.to_string();
        let meet = ["CLUSTER", "MEET", &host, &port, &bus_port];
        self.servers[one].redis.command(&meet).await;
    }
}

/// Gives the server its part of the slots.
async fn add_slots(redis: &Redis, one: usize, masters: usize) {
    let of = |one: usize| usize::from(SLOTS) * one / masters;
    let (first, end) = (of(one), of(one + 1));
    if redis.version() >= Version::new(7, 0) {
        let (first, last) = (first.to_string(), (end - 1).to_string());
        redis
            .command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])
            .await;
        return;
    }
    let slots: Vec<_> = (first..end).map(|slot| slot.to_string()).collect();
    let words = ["CLUSTER", "ADDSLOTS"];
    let words: Vec<_> = words
        .into_iter()
        .chain(slots.iter().map(String::as_str))
        .collect();
    redis.command(&words).await;
}
