//! The half that sends through a node of a cluster.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt, TryFutureExt};
use redis::RedisResult;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::error::connect::ConnectError;
use crate::namespace::channel::PubSub;
use crate::redis_error::{is_denied, words};
use crate::resp::Client;
use crate::task::mutex::Mutex;
use crate::transport::address::{Place, address_of, shown};
use crate::transport::cluster::finder::{Finder, cluster, is_up};
use crate::transport::cluster::nodes::Node;
use crate::transport::cluster::slot_owner::SlotOwner;
use crate::transport::server::redis_connection::driving;
use crate::transport::server::{Again, RedisSendHalf, backlogs_of};
use crate::transport::{Backlog, PublishError, Publisher, Reply, SendHalf};

/// The pause between two looks at the other nodes, before a node is left that may be cut off.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// The minimum time between two doubts.
const CALM: Duration = Duration::from_millis(250);

/// The timeout of asking a node for the backlogs of its subscribers.
const BACKLOG_TIMEOUT: Duration = Duration::from_secs(1);

/// Connects to the node that this bus sends through.
#[derive(Clone)]
pub(super) struct Sender {
    pub(super) node: Node,
    pub(super) finder: Arc<Finder>,
    pub(super) owner: SlotOwner,
}

impl Sender {
    /// Connects to the node.
    pub(super) async fn connect(&self) -> Result<SendHalf, ConnectError> {
        let at = address_of(&self.node.at);
        let line = self.finder.server.send_line(&at, None).await?;
        let server = self.finder.server.with_access(line.access);
        let doubt = Arc::new(Notify::new());
        let publisher = ClusterSendHalf {
            node: server.publisher(line.client),
            pubsub: self.finder.pubsub(),
            doubt: Arc::clone(&doubt),
            backlogs: Arc::new(Backlogs {
                finder: Arc::clone(&self.finder),
                lines: Mutex::default(),
            }),
        };
        Ok(SendHalf {
            publisher: Box::new(publisher),
            driver: driving(line.driver).fuse().boxed(),
            left: self.clone().left(doubt).boxed(),
            keyspace: Arc::new(server.keys(self.owner.clone())),
            is_unproven: false,
        })
    }

    /// Connects to the same node again.
    pub(super) fn again(&self) -> Again {
        let sender = self.clone();
        Arc::new(move || {
            let sender = sender.clone();
            async move { sender.connect().await }.boxed()
        })
    }

    /// Returns the reason once the node is cut off from the others, or has no slot of the channel.
    async fn left(self, doubt: Arc<Notify>) -> ConnectError {
        loop {
            doubt.notified().await;
            if self.is_out_of_shard().await {
                return ConnectError::ChannelMoved;
            }
            // A node that has just restarted, or a failover that is almost over, is no reason.
            if self.is_cut_off().await {
                sleep(SECOND_LOOK).await;
                if self.is_cut_off().await {
                    return ConnectError::CutOff {
                        server: shown(&self.node.at),
                    };
                }
            }
            sleep(CALM).await;
        }
    }

    async fn is_cut_off(&self) -> bool {
        self.finder.around().await.is_cut_off(&self.node.id)
    }

    async fn is_out_of_shard(&self) -> bool {
        let (slot, pubsub) = (self.finder.slot, self.finder.pubsub());
        if pubsub == PubSub::Classic {
            return false;
        }
        let usable = self.finder.around().await.usable(slot, pubsub);
        !usable.is_empty() && usable.iter().all(|node| node.id != self.node.id)
    }
}

struct ClusterSendHalf {
    node: RedisSendHalf,
    pubsub: PubSub,
    /// Notified when the node may not be the right one any more.
    doubt: Arc<Notify>,
    backlogs: Arc<Backlogs>,
}

impl Publisher for ClusterSendHalf {
    fn publish(&self, frame: Bytes) -> Reply {
        let reply = self.node.publish(frame);
        if self.pubsub == PubSub::Classic {
            return reply;
        }
        let doubt = Arc::clone(&self.doubt);
        let doubts = move |error: &PublishError| {
            if let PublishError::NotNow(_) = error {
                doubt.notify_one();
            }
        };
        reply.inspect_err(doubts).boxed()
    }

    fn backlogs(&self) -> BoxFuture<'static, Option<Vec<Backlog>>> {
        Arc::clone(&self.backlogs).ask().boxed()
    }

    fn lost(&self) -> ConnectError {
        self.node.lost()
    }

    fn check(&self) -> BoxFuture<'static, Result<(), ConnectError>> {
        let (connection, doubt) = (self.node.client.clone(), Arc::clone(&self.doubt));
        Box::pin(async move {
            let state: RedisResult<String> = cluster(&connection, "INFO").await;
            if state.is_ok_and(|state| !is_up(&state)) {
                doubt.notify_one();
            }
            Ok(())
        })
    }
}

/// The backlogs of subscribers on all nodes.
struct Backlogs {
    finder: Arc<Finder>,
    /// The connection to each node.
    lines: Mutex<HashMap<Place, (Client, AbortOnDropHandle<()>)>>,
}

/// The reason why a node does not tell the backlogs.
enum Untold {
    /// The user may not ask.
    Denied,
    /// It did not answer in time.
    Silent,
}

impl Backlogs {
    /// Asks all nodes. Those that do not answer are left out.
    async fn ask(self: Arc<Self>) -> Option<Vec<Backlog>> {
        let (slot, pubsub) = (self.finder.slot, self.finder.pubsub());
        let mut nodes = self.finder.last().usable(slot, pubsub);
        // A subscriber is known by its client and the number of its node.
        nodes.sort_by(|one, other| one.id.cmp(&other.id));
        let asking = nodes.iter().enumerate().map(async |(server, node)| {
            let asking = timeout(BACKLOG_TIMEOUT, self.ask_node(server, &node.at));
            let told = asking.await.unwrap_or(Err(Untold::Silent));
            if told.is_err() {
                self.lines.lock().remove(&node.at);
            }
            told
        });
        let mut all = Vec::new();
        for told in join_all(asking).await {
            match told {
                Ok(backlogs) => all.extend(backlogs),
                Err(Untold::Denied) => return None,
                Err(Untold::Silent) => {}
            }
        }
        Some(all)
    }

    async fn ask_node(&self, server: usize, at: &Place) -> Result<Vec<Backlog>, Untold> {
        let known = self
            .lines
            .lock()
            .get(at)
            .map(|(connection, _)| connection.clone());
        let mut connection = match known {
            Some(connection) => connection,
            None => self.connect(at).await.ok_or(Untold::Silent)?,
        };
        let told = backlogs_of(server, &mut connection).await;
        told.map_err(|error| {
            if is_denied(&error, &words(&error)) {
                Untold::Denied
            } else {
                Untold::Silent
            }
        })
    }

    async fn connect(&self, at: &Place) -> Option<Client> {
        let line = self
            .finder
            .server
            .send_line(&address_of(at), None)
            .await
            .ok()?;
        let driver = AbortOnDropHandle::new(tokio::spawn(driving(line.driver)));
        let connection = line.client.clone();
        self.lines.lock().insert(at.clone(), (line.client, driver));
        Some(connection)
    }
}
