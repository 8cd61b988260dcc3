//! A way to Redis that can go deaf: connections stay open, and what Redis says is lost.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tidings::Bus;
use tidings_testkit::{Node, Redis};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// The connections of a node that comes through a [`Proxy`], in the order it makes them.
pub(crate) const HEARING: usize = 0;
pub(crate) const SENDING: usize = 1;

/// Stands between one node and Redis, and ends with the test's runtime.
pub(crate) struct Proxy {
    address: SocketAddr,
    /// For each connection that was ever made, whether it is deaf.
    connections: Arc<Mutex<Vec<Arc<AtomicBool>>>>,
}

impl Proxy {
    pub(crate) async fn start(redis: &Redis) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::default();
        tokio::spawn(accept(listener, redis.address(), Arc::clone(&connections)));
        Self {
            address,
            connections,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub(crate) async fn node(&self) -> Node {
        Node::start(Bus::builder(&self.url())).await
    }

    /// From now on nothing that Redis says arrives on this connection. Later ones are not deaf.
    pub(crate) fn deafen(&self, connection: usize) {
        let connections = self.connections.lock().unwrap();
        connections[connection].store(true, Ordering::SeqCst);
    }
}

async fn accept(
    listener: TcpListener,
    redis: SocketAddr,
    connections: Arc<Mutex<Vec<Arc<AtomicBool>>>>,
) {
    loop {
        let (node, _) = listener.accept().await.unwrap();
        let is_deaf = Arc::default();
        connections.lock().unwrap().push(Arc::clone(&is_deaf));
        tokio::spawn(async move {
            // A Redis that is away is one that hangs up.
            let Ok(redis) = TcpStream::connect(redis).await else {
                return;
            };
            let (mut from_node, to_node) = node.into_split();
            let (from_redis, mut to_redis) = redis.into_split();
            // When either side hangs up, so does the other.
            tokio::select! {
                _ = copy(&mut from_node, &mut to_redis) => {}
                () = pass_on(from_redis, to_node, &is_deaf) => {}
            }
        });
    }
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_deaf: &AtomicBool) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if !is_deaf.load(Ordering::SeqCst) && to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
