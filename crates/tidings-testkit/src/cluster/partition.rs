//! Network partitions: a proxy in front of each server's clients and of its cluster bus.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use super::Cluster;
use crate::address::login;
use crate::builder::RedisBuilder;
use crate::proxy::{Direction, Fault, INSIDE, Proxy, contains, is_inside};
use crate::server::Redis;

/// Like a network that loses all packets: what was sent arrives when the partition ends.
const CUT: Fault = Fault::Blackhole(Direction::Both);

/// # Partitions
impl Cluster {
    /// Cuts the network between the servers on these ports and all others. Connections stay open,
    /// and nothing arrives until [`heal`](Self::heal).
    ///
    /// Clients are cut off too: those of [`url`](Self::url) from these servers, those of
    /// [`inside_url`](Self::inside_url) from all others. So is a replica from its master, also where
    /// both are inside.
    ///
    /// ```
    /// use tidings_testkit::Cluster;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let cluster = Cluster::builder().partitions().start().await;
    /// let cut_off = cluster.owner_of("colour").await.port();
    ///
    /// cluster.partition(&[cut_off]);
    ///
    /// let owner = cluster.wait_for_owner_other_than("colour", cut_off).await;
    /// assert!(owner.is_master().await);
    /// cluster.heal();
    /// cluster.settle().await;
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the cluster was started without [`partitions`](super::ClusterBuilder::partitions), or a
    /// port is none of its servers'.
    pub fn partition(&self, ports: &[u16]) {
        let inside: BTreeSet<_> = ports.iter().map(|port| self.index(*port)).collect();
        let ids = inside.iter().map(|one| self.servers[*one].id.clone());
        let ids: Vec<_> = ids.collect();
        for (one, door) in self.doors().doors.iter().enumerate() {
            let is_inner = inside.contains(&one);
            let ids = ids.clone();
            door.bus.set_by_first_bytes(move |first| {
                let comes_from_inside = ids.iter().any(|id| contains(first, id));
                cut_if(comes_from_inside != is_inner)
            });
            door.clients
                .set_by_first_bytes(move |first| cut_if(is_inside(first) != is_inner));
        }
    }

    /// Ends the partition. What was sent meanwhile arrives.
    ///
    /// # Panics
    ///
    /// If the cluster was started without [`partitions`](super::ClusterBuilder::partitions).
    pub fn heal(&self) {
        self.doors().doors.iter().for_each(Door::open);
    }

    /// Returns the URL for clients on the side of the servers that [`partition`](Self::partition)
    /// cuts off.
    ///
    /// # Panics
    ///
    /// If the cluster was started without [`partitions`](super::ClusterBuilder::partitions).
    pub fn inside_url(&self) -> String {
        self.doors();
        self.url_with(&login(INSIDE, INSIDE))
    }

    fn doors(&self) -> &Doors {
        let doors = self.doors.as_ref();
        doors.expect("the cluster was started with `partitions`")
    }
}

fn cut_if(is_cut: bool) -> Fault {
    if is_cut { CUT } else { Fault::None }
}

/// The proxies of all servers, in their order.
#[derive(Debug)]
pub(super) struct Doors {
    doors: Vec<Door>,
}

#[derive(Debug)]
struct Door {
    clients: Proxy,
    /// A packet of the cluster bus begins with the id of its sender.
    bus: Proxy,
}

impl Doors {
    pub(super) async fn start(count: usize) -> Self {
        let mut doors = Vec::new();
        for _ in 0..count {
            doors.push(Door::new().await);
        }
        Self { doors }
    }

    /// Lets a server announce its proxies.
    pub(super) fn announce(&self, one: usize, server: RedisBuilder) -> RedisBuilder {
        let port = self.client_address(one).port().to_string();
        let bus_port = self.bus_port(one).to_string();
        server
            .config("cluster-announce-ip", "127.0.0.1")
            .config("cluster-announce-port", port)
            .config("cluster-announce-bus-port", bus_port)
    }

    /// Lets the proxies forward to this server.
    pub(super) fn redirect(&self, one: usize, redis: &Redis, bus_port: u16) {
        let door = &self.doors[one];
        door.clients.redirect(redis.address());
        door.bus.redirect((Ipv4Addr::LOCALHOST, bus_port).into());
    }

    pub(super) fn client_address(&self, one: usize) -> SocketAddr {
        self.doors[one].clients.address()
    }

    pub(super) fn bus_port(&self, one: usize) -> u16 {
        self.doors[one].bus.address().port()
    }
}

impl Door {
    async fn new() -> Self {
        // Nothing connects before the server has started.
        let nowhere = (Ipv4Addr::LOCALHOST, 0).into();
        let door = Self {
            clients: Proxy::start(nowhere).await,
            bus: Proxy::start(nowhere).await,
        };
        door.open();
        door
    }

    fn open(&self) {
        for proxy in [&self.clients, &self.bus] {
            proxy.set_by_first_bytes(|_| Fault::None);
        }
    }
}
