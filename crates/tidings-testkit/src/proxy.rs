//! A way to a server on which everything can go wrong that goes wrong on networks.

mod carry;
mod fault;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

pub use self::fault::{Direction, Fault};

const PAUSE_AFTER_AN_ERROR: Duration = Duration::from_millis(10);

/// Stands before a server, on 127.0.0.1 and a port of its own, and carries connections to it: as
/// they are, or with a [`Fault`].
///
/// A fault is switched on and off while connections are open. It holds for all connections
/// ([`set`](Self::set)), for one ([`set_connection`](Self::set_connection)), or for those that are still to come
/// ([`set_new_connections`](Self::set_new_connections)). Connections are counted from 0 in the order in which they
/// arrive: that of a node's hearing connection is 0, that of its sending one is 1.
///
/// The proxy ends when it is dropped, and its connections with it.
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
/// // The node's connection looks well, and nothing that Redis says arrives on it.
/// proxy.set_connection(0, Fault::Drop(Direction::ToClient));
/// wait_for("it finds out", Duration::from_secs(20), async || {
///     node.health().reconnects == 1
/// })
/// .await;
/// # }
/// ```
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    lines: Arc<Mutex<Lines>>,
    accepting: JoinHandle<()>,
}

/// All connections, those that ended included, and what those to come will be like.
#[derive(Debug)]
struct Lines {
    to: SocketAddr,
    later: Fault,
    /// The task that carries a connection listens to these until both of its ends are closed.
    faults: Vec<Arc<watch::Sender<Fault>>>,
}

/// Starting one, and saying where it is.
impl Proxy {
    /// Starts a proxy before the server at this address.
    ///
    /// Whether a server is there matters only once somebody connects: then a connection that the
    /// server refuses is reset.
    ///
    /// # Panics
    ///
    /// If no port can be had.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("127.0.0.1 has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let lines = Lines {
            to,
            later: Fault::None,
            faults: Vec::new(),
        };
        let lines = Arc::new(Mutex::new(lines));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&lines)));
        Self {
            address,
            lines,
            accepting,
        }
    }

    /// 127.0.0.1 and the port that the proxy listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as the URL of a Redis without a password.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Leads connections to another server. Those that are open stay where they are;
    /// [`reset`](Self::reset) ends them.
    pub fn redirect(&self, to: SocketAddr) {
        self.lines().to = to;
    }

    /// How many connections there ever were.
    pub fn accepted_connections(&self) -> usize {
        self.lines().faults.len()
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        let lines = self.lines();
        lines.faults.iter().filter(|one| !one.is_closed()).count()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        lock(&self.lines)
    }
}

/// What goes wrong.
impl Proxy {
    /// Puts all connections under this fault: those that are open, and those to come.
    ///
    /// What is sent once this has returned is under the fault.
    pub fn set(&self, fault: Fault) {
        let mut lines = self.lines();
        lines.later = fault;
        for one in &lines.faults {
            one.send_replace(fault);
        }
    }

    /// Puts one connection under this fault, and no other.
    ///
    /// # Panics
    ///
    /// If there were not that many connections yet.
    pub fn set_connection(&self, connection: usize, fault: Fault) {
        self.one(connection).send_replace(fault);
    }

    /// Puts the connections to come under this fault, and none that is open.
    pub fn set_new_connections(&self, fault: Fault) {
        self.lines().later = fault;
    }

    /// Resets all open connections, for both sides, and returns how many once that is done. Those
    /// to come are not reset; [`Fault::Reset`] does that.
    pub async fn reset(&self) -> usize {
        let mut open = self.lines().faults.clone();
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
    /// If there were not that many connections yet.
    pub async fn reset_connection(&self, connection: usize) {
        reset(&self.one(connection)).await;
    }

    fn one(&self, connection: usize) -> Arc<watch::Sender<Fault>> {
        let lines = self.lines();
        let Some(one) = lines.faults.get(connection) else {
            let count = lines.faults.len();
            drop(lines);
            panic!("there is no connection {connection}: only {count} came so far");
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

/// Owns the tasks that carry connections: they end with this one.
async fn accept(listener: TcpListener, lines: Arc<Mutex<Lines>>) {
    let mut carried = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = carried.join_next() => continue,
        };
        match accepted {
            Ok((client, _)) => open(client, &mut lock(&lines), &mut carried),
            // The client is gone already, or the process has no descriptor left for now.
            Err(_) => sleep(PAUSE_AFTER_AN_ERROR).await,
        }
    }
}

fn open(client: TcpStream, lines: &mut Lines, carried: &mut JoinSet<()>) {
    let (fault, orders) = watch::channel(lines.later);
    lines.faults.push(Arc::new(fault));
    let to = lines.to;
    // The orders go last: whoever waits for the end of them finds both ends closed.
    carried.spawn(async move { carry::carry(client, to, &orders).await });
}

fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
