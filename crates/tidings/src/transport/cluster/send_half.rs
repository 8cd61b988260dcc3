//! The half that sends through a node of a cluster.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::FixedState;
use futures_util::future::{BoxFuture, join_all, pending};
use futures_util::{FutureExt, TryFutureExt};
use redis::RedisResult;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::error::connect::ConnectError;
use crate::namespace::channel::PubSub;
use crate::redis_error::is_denied;
use crate::resp::Client;
use crate::task::mutex::Mutex;
use crate::transport::address::{Place, address_of, shown};
use crate::transport::cluster::finder::{Finder, cluster, is_up};
use crate::transport::cluster::nodes::{Node, Nodes};
use crate::transport::cluster::slot_owner::SlotOwner;
use crate::transport::server::redis_connection::driving;
use crate::transport::server::{Again, RedisSendHalf, backlogs_of};
use crate::transport::{Backlog, PublishError, Publisher, Reply, SendHalf};

/// The pause between two looks at the other nodes, before a node is left that may be cut off.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// The interval at which a bus that sends through the node that it receives from looks at the other
/// nodes: its own echo does not prove that the node is connected to the others.
const LOOK_AROUND: Duration = Duration::from_secs(30);

/// The minimum time between two doubts.
const CALM: Duration = Duration::from_millis(250);

/// The interval at which a bus that asks for backlogs looks for nodes that were added.
const LOOK_FOR_NODES: Duration = Duration::from_secs(10);

/// The maximum wait for a node that is asked for the backlogs of its subscribers.
const BACKLOG_TIMEOUT: Duration = Duration::from_secs(1);

/// Connects to the node that this bus sends through.
#[derive(Clone)]
pub(super) struct Sender {
    pub(super) node: Node,
    /// True if the bus also receives from it, because no other one could be used.
    pub(super) is_alone: bool,
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
                looking: Mutex::default(),
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
            let looks = if self.is_alone {
                sleep(LOOK_AROUND).boxed()
            } else {
                pending().boxed()
            };
            tokio::select! {
                () = doubt.notified() => {}
                () = looks => {}
            }
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
    lines: Mutex<HashMap<Place, Line>>,
    looking: Mutex<Looking>,
}

/// The last look for nodes that were added.
struct Looking {
    since: Instant,
    _task: Option<AbortOnDropHandle<Nodes>>,
}

impl Default for Looking {
    /// All nodes were asked just now, to connect.
    fn default() -> Self {
        Self {
            since: Instant::now(),
            _task: None,
        }
    }
}

/// The connection to a node, or the question that the node has not answered.
#[derive(Default)]
struct Line {
    connection: Option<Connection>,
    question: Option<AbortOnDropHandle<Told>>,
    /// True once an answer is late. Until the node answers, the sends do not wait for it.
    is_silent: bool,
}

type Connection = (Client, AbortOnDropHandle<()>);

/// The answer of a node, and the connection for the next question.
type Told = Result<(Vec<Backlog>, Connection), Untold>;

/// The reason why a node does not tell the backlogs.
enum Untold {
    /// The user may not ask.
    Denied,
    /// It did not answer, or not in time.
    Silent,
}

impl Backlogs {
    /// Asks all nodes. Those that do not answer are left out.
    async fn ask(self: Arc<Self>) -> Option<Vec<Backlog>> {
        self.look_for_nodes();
        let (slot, pubsub) = (self.finder.slot, self.finder.pubsub());
        let nodes = self.finder.last().usable(slot, pubsub);
        let is_used = |at: &Place| nodes.iter().any(|node| node.at == *at);
        self.lines.lock().retain(|at, _| is_used(at));
        let mut all = Vec::new();
        let asking = nodes.iter().map(|node| self.ask_node(&node.at));
        for told in join_all(asking).await {
            match told {
                Ok(backlogs) => all.extend(backlogs),
                Err(Untold::Denied) => return None,
                Err(Untold::Silent) => {}
            }
        }
        Some(all)
    }

    /// Begins to look for nodes that were added, unless that was just done.
    fn look_for_nodes(&self) {
        let mut looking = self.looking.lock();
        if looking.since.elapsed() < LOOK_FOR_NODES {
            return;
        }
        let finder = Arc::clone(&self.finder);
        let task = tokio::spawn(async move { finder.around().await });
        *looking = Looking {
            since: Instant::now(),
            _task: Some(AbortOnDropHandle::new(task)),
        };
    }

    async fn ask_node(&self, at: &Place) -> Result<Vec<Backlog>, Untold> {
        let mut line = self.lines.lock().remove(at).unwrap_or_default();
        let patience = if line.is_silent {
            Duration::ZERO
        } else {
            BACKLOG_TIMEOUT
        };
        let mut question = line.question.take().unwrap_or_else(|| {
            let connection = line.connection.take();
            let asking = backlogs_at(Arc::clone(&self.finder), at.clone(), connection);
            AbortOnDropHandle::new(tokio::spawn(asking))
        });
        let told = if let Ok(told) = timeout(patience, &mut question).await {
            told.unwrap_or(Err(Untold::Silent))
        } else {
            line.question = Some(question);
            line.is_silent = true;
            Err(Untold::Silent)
        };
        let backlogs = told.map(|(backlogs, connection)| {
            line.connection = Some(connection);
            line.is_silent = false;
            backlogs
        });
        self.lines.lock().insert(at.clone(), line);
        backlogs
    }
}

/// Asks a node over this connection, or over a new one.
async fn backlogs_at(finder: Arc<Finder>, at: Place, connection: Option<Connection>) -> Told {
    let (client, driver) = if let Some(connection) = connection {
        connection
    } else {
        let line = finder.server.send_line(&address_of(&at), None).await;
        let line = line.map_err(|_| Untold::Silent)?;
        let driver = AbortOnDropHandle::new(tokio::spawn(driving(line.driver)));
        (line.client, driver)
    };
    // The number of a node stays the same when others join or leave.
    let server = FixedState::default().hash_one(&at);
    match backlogs_of(server, &client).await {
        Ok(backlogs) => Ok((backlogs, (client, driver))),
        Err(error) if is_denied(&error) => Err(Untold::Denied),
        Err(_) => Err(Untold::Silent),
    }
}
