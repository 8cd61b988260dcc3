//! The interface of transports: a receive half and a send half that meet on a server or in memory.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::error::connect::ConnectError;
use crate::event::numbers::Numbers;
use crate::event::position::JournalPosition;
use crate::keyspace::Keyspace;
use crate::namespace::channel::PubSub;
use crate::observe::health::TopologyKind;

pub(crate) mod address;
mod answers;
mod cluster;
pub(crate) mod credentials;
pub(crate) mod journal;
pub(crate) mod memory;
pub(crate) mod options;
mod scheme;
mod sentinel;
#[cfg(feature = "admin")]
pub(crate) mod servers;
pub(crate) mod tls;
mod topology;
pub(crate) mod url;

pub(crate) mod server;

/// The transport between the processes of one namespace.
#[async_trait]
pub(crate) trait Transport: fmt::Debug + Send + Sync {
    /// The address, without a password.
    fn address(&self) -> String;

    fn topology(&self) -> TopologyKind;

    /// The kind of pub/sub that carries the events, where there is a choice.
    fn pubsub(&self) -> Option<PubSub> {
        None
    }

    /// Returns true if a frame may arrive after later ones of its sender: over another server.
    fn may_be_late(&self) -> bool {
        false
    }

    /// Watches the server that has the keys, if that can change while the bus stays connected: the
    /// number of servers so far, or why there is none. Known after the first connect.
    fn key_moves(&self) -> Option<watch::Receiver<Result<u64, Arc<str>>>> {
        None
    }

    /// Tries once to connect. Returns when the subscription is confirmed.
    async fn connect(&self) -> Result<Connected, ConnectError>;

    /// The known reason why a running attempt to connect has not ended yet.
    fn trouble(&self) -> Option<ConnectError> {
        None
    }
}

/// Both halves of a connection that is subscribed.
pub(crate) struct Connected {
    pub(crate) receive_half: Box<dyn ReceiveHalf>,
    pub(crate) sending: SendHalf,
    /// The server's address, for logs.
    pub(crate) server: String,
    /// The nodes of a cluster that cannot be used, and why.
    pub(crate) left_out: Vec<String>,
}

/// The half that receives.
///
/// Nothing is read outside of [`receive`](Self::receive): so a process that cannot keep up slows the
/// senders down instead of filling its memory.
#[async_trait]
pub(crate) trait ReceiveHalf: Send {
    /// Waits for frames and puts them into `frames`, in order. Dropping the wait loses none.
    async fn receive(&mut self, frames: &mut Vec<Bytes>) -> Result<(), ConnectError>;

    /// Enables wake-ups of [`receive`](Self::receive) when data arrives. Without them, data is found
    /// by the next poll. Enabled at first; a transport may ignore this.
    fn set_watched(&mut self, _is_watched: bool) {}

    /// Sends keepalives at this interval, so that the connection is not cut for being idle.
    fn set_keepalive(&mut self, _every: Duration) {}

    /// The time since this half last sent something, if its connection can be cut for being idle.
    fn quiet(&self) -> Option<Duration> {
        None
    }

    /// Connects another send half to the server of this half; `None` if the transport cannot.
    fn sending_again(&self) -> Option<SendingAgain> {
        None
    }
}

/// A send half that is being connected.
pub(crate) type SendingAgain = BoxFuture<'static, Result<SendHalf, ConnectError>>;

/// The half that sends. Its driver must be polled for anything to happen.
pub(crate) struct SendHalf {
    pub(crate) publisher: Box<dyn Publisher>,
    /// Ends when the connection does.
    pub(crate) driver: BoxFuture<'static, ()>,
    /// Returns the reason once the server is not the right one any more. The send task polls it,
    /// because frames that are sent from then on reach no subscriber.
    pub(crate) left: BoxFuture<'static, ConnectError>,
    /// The shared state of the namespace, over this connection.
    pub(crate) keyspace: Arc<dyn Keyspace>,
    /// True if only the position may be sent until its echo arrives, which proves that the receive
    /// half is on the same server.
    pub(crate) is_unproven: bool,
}

/// The handle of a send half.
pub(crate) trait Publisher: Send + Sync {
    /// Publishes a frame. It is queued when this returns, before all later frames, even if the reply
    /// is never polled. The reply is the number of subscribers, where that is known.
    fn publish(&self, frame: Bytes) -> Reply;

    /// Publishes a frame again, as the attempt of this number after the first one.
    fn publish_again(&self, frame: Bytes, _attempt: u32) -> Reply {
        self.publish(frame)
    }

    /// Looks for frames that may have been published after this position. Returns `None` if the server
    /// keeps no frames.
    fn find(&self, _after: JournalPosition, _frames: Vec<Numbers>) -> Option<Search> {
        None
    }

    /// The number of replicas that must confirm each frame, if any must.
    fn wanted_replicas(&self) -> Option<u32> {
        None
    }

    /// Returns the bytes that wait for each subscriber, if the user may ask for them.
    fn backlogs(&self) -> BoxFuture<'static, Option<Vec<Backlog>>>;

    /// The reason why the connection ended.
    fn lost(&self) -> ConnectError {
        ConnectError::Lost
    }

    /// Checks that the server is still the right one.
    fn check(&self) -> BoxFuture<'static, Result<(), ConnectError>>;
}

/// The pending result of a published frame.
pub(crate) type Reply = BoxFuture<'static, Result<Published, PublishError>>;

/// A running search for frames: returns the first number of each one that was found, and its
/// position.
pub(crate) type Search = BoxFuture<'static, Result<Vec<(u64, JournalPosition)>, ConnectError>>;

/// The result of a published frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// The number of subscribers that received it, where that is known.
    pub(crate) receivers: Option<u64>,
    /// Its position, if the server keeps it.
    pub(crate) position: Option<JournalPosition>,
}

impl Published {
    /// A frame that these subscribers received, and that is not kept.
    pub(crate) fn to(receivers: Option<u64>) -> Self {
        Self {
            receivers,
            position: None,
        }
    }
}

/// The output buffer of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) subscriber: Subscriber,
    pub(crate) bytes: usize,
}

/// A client that subscribes on one of several servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Subscriber {
    pub(crate) server: u64,
    /// The id of the client on that server.
    pub(crate) client: u64,
}

/// The reason why a frame was not published, or may not have been.
#[derive(Debug)]
pub(crate) enum PublishError {
    /// Not published, and a retry cannot help.
    Refused(String),
    /// Not published, because the user lacks a permission: the error message, with a hint.
    Denied(String),
    /// Not published, and a retry may help.
    NotNow(String),
    /// Published at this position, and fewer replicas have it than are wanted.
    NotReplicated {
        position: JournalPosition,
        replicas: u32,
        wanted: u32,
    },
    /// Unknown: the connection is lost.
    Lost,
}
