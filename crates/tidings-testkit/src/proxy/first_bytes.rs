//! Faults of those connections that begin with certain bytes.

use std::collections::BTreeMap;
use std::fmt;

use tokio::net::TcpStream;

use super::{Connections, Fault, Proxy};

/// Enough for the sender of a packet of the cluster bus, and for the user of a client.
const ENOUGH: usize = 256;

/// The ACL user of the clients on the inner side of a partition, and its password.
pub(crate) const INSIDE: &str = "inside";

type Rule = Box<dyn Fn(&[u8]) -> Fault + Send>;

/// The fault of a connection by the first bytes that its client sends.
#[derive(Default)]
pub(super) struct ByFirstBytes {
    rule: Option<Rule>,
    /// Of each connection whose client has sent some.
    known: BTreeMap<usize, Vec<u8>>,
}

impl fmt::Debug for ByFirstBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByFirstBytes").finish_non_exhaustive()
    }
}

impl Proxy {
    /// Sets the fault of all connections, open and new, by the first bytes that the client sends.
    ///
    /// A connection that was accepted before the first call has sent its first bytes already, and is
    /// left alone.
    pub(crate) fn set_by_first_bytes(&self, rule: impl Fn(&[u8]) -> Fault + Send + 'static) {
        let mut connections = self.connections();
        for (one, first) in &connections.by_first_bytes.known {
            connections.faults[*one].send_replace(rule(first));
        }
        connections.by_first_bytes.rule = Some(Box::new(rule));
    }
}

impl Connections {
    pub(super) fn wait_for_first_bytes(&self) -> bool {
        self.by_first_bytes.rule.is_some()
    }

    pub(super) fn sort(&mut self, connection: usize, first: Vec<u8>) {
        if let Some(rule) = &self.by_first_bytes.rule {
            self.faults[connection].send_replace(rule(&first));
        }
        self.by_first_bytes.known.insert(connection, first);
    }
}

/// Returns whether a client with these first bytes logs in as [`INSIDE`].
pub(crate) fn is_inside(first: &[u8]) -> bool {
    contains(first, &format!("\r\n{INSIDE}\r\n"))
}

pub(crate) fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// Waits for the first bytes of a client, and leaves them where they are. Empty if it sends none.
pub(super) async fn first_bytes(client: &TcpStream) -> Vec<u8> {
    let mut first = vec![0; ENOUGH];
    let length = client.peek(&mut first).await.unwrap_or(0);
    first.truncate(length);
    first
}
