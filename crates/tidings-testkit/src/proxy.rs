//! A TCP proxy with network faults.

mod fault;
mod first_bytes;
mod forward;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

pub use self::fault::{Direction, Fault};
use self::first_bytes::{ByFirstBytes, first_bytes};
pub(crate) use self::first_bytes::{INSIDE, contains, is_inside};

const PAUSE_AFTER_AN_ERROR: Duration = Duration::from_millis(10);

/// A TCP proxy in front of a server, on 127.0.0.1 and its own port. It forwards connections
/// unchanged, or with a [`Fault`].
///
/// A fault is switched on and off while connections are open. It applies to all connections
/// ([`set`](Self::set)), to one ([`set_connection`](Self::set_connection)), or to new ones
/// ([`set_new_connections`](Self::set_new_connections)). Connections are counted from 0 in the
/// order in which they arrive: the receiving connection of a node is 0, its sending one is 1.
///
/// The proxy and its connections end when it is dropped.
///
/// ```
/// use std::time::Duration;
/// use tidings_testkit::{Fault, Proxy, Redis, Direction, wait_for};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let redis = Redis::start().await;
/// let proxy = Proxy::start(redis.address()).await;
/// let node = proxy.node().await;
///
/// // The connection stays open, and nothing that Redis sends arrives on it.
/// proxy.set_connection(0, Fault::Drop(Direction::ToClient));
/// wait_for("the node reconnects", Duration::from_secs(20), async || {
///     node.health().reconnects == 1
/// })
/// .await;
/// # }
/// ```
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    connections: Arc<Mutex<Connections>>,
    accepting: JoinHandle<()>,
}

/// All connections, closed ones included, and the fault of new ones.
#[derive(Debug)]
struct Connections {
    to: SocketAddr,
    later: Fault,
    /// The task that forwards a connection holds the receiver until both of its ends are closed.
    faults: Vec<Arc<watch::Sender<Fault>>>,
    by_first_bytes: ByFirstBytes,
}

/// # Starting
impl Proxy {
    /// Starts a proxy in front of the server at this address.
    ///
    /// The server need not run yet: a connection that it refuses is reset.
    ///
    /// # Panics
    ///
    /// If no port is free.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("127.0.0.1 has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let connections = Connections {
            to,
            later: Fault::None,
            faults: Vec::new(),
            by_first_bytes: ByFirstBytes::default(),
        };
        let connections = Arc::new(Mutex::new(connections));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&connections)));
        Self {
            address,
            connections,
            accepting,
        }
    }

    /// Returns 127.0.0.1 and the port of the proxy.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of the proxy, for a Redis without a password.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Forwards new connections to another server. Open connections stay; [`reset`](Self::reset)
    /// ends them.
    pub fn redirect(&self, to: SocketAddr) {
        self.connections().to = to;
    }

    /// Returns the number of connections accepted so far.
    pub fn accepted_connections(&self) -> usize {
        self.connections().faults.len()
    }

    /// Returns the number of open connections.
    pub fn open_connections(&self) -> usize {
        let connections = self.connections();
        connections
            .faults
            .iter()
            .filter(|one| !one.is_closed())
            .count()
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        lock(&self.connections)
    }
}

/// # Faults
impl Proxy {
    /// Sets the fault of all connections, open and new.
    ///
    /// It applies to everything that is sent after this has returned.
    pub fn set(&self, fault: Fault) {
        let mut connections = self.connections();
        connections.later = fault;
        for one in &connections.faults {
            one.send_replace(fault);
        }
    }

    /// Sets the fault of one connection.
    ///
    /// # Panics
    ///
    /// If there is no such connection yet.
    pub fn set_connection(&self, connection: usize, fault: Fault) {
        self.one(connection).send_replace(fault);
    }

    /// Sets the fault of new connections.
    pub fn set_new_connections(&self, fault: Fault) {
        self.connections().later = fault;
    }

    /// Resets all open connections, for both sides, and returns their number. New connections are
    /// not reset; [`Fault::Reset`] does that.
    pub async fn reset(&self) -> usize {
        let mut open = self.connections().faults.clone();
        open.retain(|one| !one.is_closed());
        for one in &open {
            reset(one).await;
        }
        open.len()
    }

    /// Resets one connection, for both sides, and returns once that is done.
    ///
    /// # Panics
    ///
    /// If there is no such connection yet.
    pub async fn reset_connection(&self, connection: usize) {
        reset(&self.one(connection)).await;
    }

    fn one(&self, connection: usize) -> Arc<watch::Sender<Fault>> {
        let connections = self.connections();
        let Some(one) = connections.faults.get(connection) else {
            let count = connections.faults.len();
            drop(connections);
            panic!("no connection {connection}: the proxy has accepted {count} so far");
        };
        Arc::clone(one)
    }
}

async fn reset(connection: &watch::Sender<Fault>) {
    connection.send_replace(Fault::Reset);
    connection.closed().await;
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Owns the tasks that forward connections: they end with this one.
async fn accept(listener: TcpListener, connections: Arc<Mutex<Connections>>) {
    let mut forwarding = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = forwarding.join_next() => continue,
        };
        match accepted {
            Ok((client, _)) => open(client, &connections, &mut forwarding),
            // The client has gone, or the process has no free descriptor.
            Err(_) => sleep(PAUSE_AFTER_AN_ERROR).await,
        }
    }
}

fn open(client: TcpStream, all: &Arc<Mutex<Connections>>, forwarding: &mut JoinSet<()>) {
    let mut connections = lock(all);
    let (fault, faults) = watch::channel(connections.later);
    let index = connections.faults.len();
    connections.faults.push(Arc::new(fault));
    let to = connections.to;
    let is_sorted = connections.wait_for_first_bytes();
    let all = Arc::clone(all);
    // The receiver is dropped last: when it is gone, both ends are closed.
    forwarding.spawn(async move {
        if is_sorted {
            let first = first_bytes(&client).await;
            lock(&all).sort(index, first);
        }
        forward::forward(client, to, &faults).await;
    });
}

fn lock(connections: &Mutex<Connections>) -> MutexGuard<'_, Connections> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}
