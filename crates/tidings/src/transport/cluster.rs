//! The transport over a Redis Cluster: receives on one node, sends through another, and uses keys on
//! the node that has the slot of the namespace.
//!
//! A node passes each event on to all others. So the own echo, which travels from the node that this
//! bus sends through to the one that it receives on, proves that both are connected to the others.

pub(super) mod finder;
mod journal;
pub(super) mod node_line;
mod nodes;
mod redirect;
mod send_half;
#[cfg(feature = "admin")]
mod servers;
mod slot_owner;

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::error::connect::ConnectError;
use crate::namespace::Namespace;
use crate::namespace::channel::PubSub;
use crate::observe::health::TopologyKind;
use crate::task::mutex::Mutex;
use crate::transport::address::{Place, address_of, shown};
use crate::transport::cluster::finder::Finder;
use crate::transport::cluster::journal::JournalOwner;
use crate::transport::cluster::nodes::{Node, Nodes};
use crate::transport::cluster::send_half::Sender;
use crate::transport::cluster::slot_owner::SlotOwner;
use crate::transport::journal::{Appending, JournalConnected, JournalTransport};
use crate::transport::server::{NODE_TIMEOUT, RedisReceiveHalf, Server};
use crate::transport::{Connected, SendHalf, Transport};

/// A cluster, found through some of its nodes.
pub(crate) struct Cluster {
    /// The address, for logs.
    address: String,
    finder: Arc<Finder>,
    /// Begins at first use.
    owner: OnceLock<SlotOwner>,
    journal: JournalOwner,
    /// The identities of the nodes that were used last.
    used: Mutex<Vec<String>>,
}

impl Cluster {
    pub(crate) fn new(
        address: String,
        seeds: Vec<Place>,
        namespace: &Namespace,
        server: Server,
    ) -> Self {
        Self {
            address,
            finder: Arc::new(Finder::new(server, slot_of(namespace), seeds)),
            owner: OnceLock::new(),
            journal: JournalOwner::default(),
            used: Mutex::default(),
        }
    }
}

#[async_trait]
impl Transport for Cluster {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn topology(&self) -> TopologyKind {
        TopologyKind::Cluster
    }

    fn pubsub(&self) -> Option<PubSub> {
        Some(self.finder.pubsub())
    }

    fn may_be_late(&self) -> bool {
        true
    }

    fn key_moves(&self) -> Option<watch::Receiver<Result<u64, Arc<str>>>> {
        self.owner.get().map(SlotOwner::state)
    }

    async fn connect(&self) -> Result<Connected, ConnectError> {
        let nodes = self.finder.around().await;
        tracing::debug!(nodes = nodes.said(), "asked the nodes of the cluster");
        let candidates = self.in_order(&nodes);
        if candidates.is_empty() {
            return Err(nodes.why_none());
        }
        let owner = self.owner(&nodes).await?;
        // First receive, then send, as on a single server.
        let (receiver, mut receive_half) = self.receive_half(&candidates).await?;
        let (sender, sending) = self.sending(&candidates, receiver, &owner).await?;
        let server = format!(
            "receives from {}, sends through {}",
            shown(&receiver.at),
            shown(&sender.node.at)
        );
        let used = vec![receiver.id.clone(), sender.node.id.clone()];
        *self.used.lock() = used;
        receive_half.again = Some(sender.again());
        Ok(Connected {
            receive_half: Box::new(receive_half),
            sending,
            server,
            left_out: nodes.left_out(),
        })
    }

    fn trouble(&self) -> Option<ConnectError> {
        let nodes = self.finder.last();
        if let Err(why) = nodes.check_slots(self.finder.slot) {
            return Some(why);
        }
        let state = self.owner.get().map(SlotOwner::state);
        let why = state.and_then(|state| state.borrow().clone().err());
        Some(match why {
            Some(why) => self.why_no_owner(&why),
            None => ConnectError::timed_out("connecting to a node of the cluster"),
        })
    }
}

#[async_trait]
impl JournalTransport for Cluster {
    async fn connect_journal(
        &self,
        appending: Arc<Appending>,
    ) -> Result<JournalConnected, ConnectError> {
        self.journal.connect(&self.finder, appending).await
    }
}

impl Cluster {
    /// The nodes to use, in random order, so that a fleet spreads over them. Those that were used last
    /// come last.
    fn in_order(&self, nodes: &Nodes) -> Vec<Node> {
        let mut usable = nodes.usable(self.finder.slot, self.finder.pubsub());
        fastrand::shuffle(&mut usable);
        let used = self.used.lock();
        usable.sort_by_key(|node| used.contains(&node.id));
        usable
    }

    /// The connection for keys. The start fails without one; later it is replaced by its own task.
    async fn owner(&self, nodes: &Nodes) -> Result<SlotOwner, ConnectError> {
        let is_started = self.owner.get().is_some();
        if !is_started {
            nodes.check_slots(self.finder.slot)?;
        }
        let owner = self
            .owner
            .get_or_init(|| SlotOwner::begin(Arc::clone(&self.finder)));
        let has_connected = !self.used.lock().is_empty();
        if !has_connected {
            let mut state = owner.state();
            if state.borrow_and_update().is_err() {
                // The result of an attempt.
                let _ = timeout(NODE_TIMEOUT, state.changed()).await;
            }
            if let Err(why) = &*state.borrow() {
                return Err(self.why_no_owner(why));
            }
        }
        Ok(owner.clone())
    }

    fn why_no_owner(&self, why: &str) -> ConnectError {
        ConnectError::Owner {
            why: why.to_owned(),
            said: self.finder.last().said(),
        }
    }

    /// Connects to the first node that confirms the subscription.
    async fn receive_half<'a>(
        &self,
        candidates: &'a [Node],
    ) -> Result<(&'a Node, RedisReceiveHalf), ConnectError> {
        let mut first = None;
        for node in candidates {
            let at = address_of(&node.at);
            match self.finder.server.receive_half(&at).await {
                Ok(receive_half) => return Ok((node, receive_half)),
                Err(why) => first = first.or(Some(why)),
            }
        }
        Err(first.unwrap_or(ConnectError::Lost))
    }

    /// Connects to send: through the next node, or through the same if there is no other.
    async fn sending(
        &self,
        candidates: &[Node],
        receiver: &Node,
        owner: &SlotOwner,
    ) -> Result<(Sender, SendHalf), ConnectError> {
        let others = candidates.iter().filter(|node| node.id != receiver.id);
        let mut first = None;
        for node in others.chain([receiver]) {
            let sender = Sender {
                node: node.clone(),
                is_alone: node.id == receiver.id,
                finder: Arc::clone(&self.finder),
                owner: owner.clone(),
            };
            match sender.connect().await {
                Ok(sending) => return Ok((sender, sending)),
                Err(why) => first = first.or(Some(why)),
            }
        }
        Err(first.unwrap_or(ConnectError::Lost))
    }
}

/// The slot of all keys of a namespace, and of its channel: that of the text in braces.
pub(super) fn slot_of(namespace: &Namespace) -> u16 {
    let hash = crc16::State::<crc16::XMODEM>::calculate(namespace.name().as_bytes());
    hash % nodes::SLOTS
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_is_that_of_the_text_in_braces() {
        // As `CLUSTER KEYSLOT` answers for the channel and the keys.
        for (namespace, slot) in [("default", 5_718), ("shop", 3_808), ("123456789", 12_739)] {
            let namespace = Namespace::parse(namespace).unwrap();
            assert_eq!(slot_of(&namespace), slot, "{namespace:?}");
        }
    }
}
