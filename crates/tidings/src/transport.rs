//! What the sender, the receiver and the link need of a place to meet.

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::unconstrained;

use crate::error::connect::ConnectError;
use crate::keyspace::Keyspace;
use crate::observe::health::TopologyKind;

pub(crate) mod address;
pub(crate) mod memory;
pub(crate) mod options;
mod scheme;
mod sentinel;
pub(crate) mod tls;
mod topology;
pub(crate) mod url;

pub(crate) mod server;

/// Where the processes of one namespace meet.
#[async_trait]
pub(crate) trait Transport: fmt::Debug + Send + Sync {
    /// Where that is, without a password.
    fn address(&self) -> String;

    fn topology(&self) -> TopologyKind;

    /// One attempt to connect; ends well once the subscription is confirmed.
    async fn connect(&self) -> Result<Connected, ConnectError>;

    /// What is known to be in the way of an attempt that is given up before it ends.
    fn trouble(&self) -> Option<ConnectError> {
        None
    }
}

/// Both ends of a connection that is subscribed.
pub(crate) struct Connected {
    pub(crate) receive_half: Box<dyn ReceiveHalf>,
    pub(crate) sending: SendHalf,
    /// Which server it is.
    pub(crate) server: String,
}

/// The end that hears.
///
/// Nothing is read while nobody waits in [`receive`](Self::receive): that is how a process which cannot
/// keep up slows the senders down, instead of filling its memory.
#[async_trait]
pub(crate) trait ReceiveHalf: Send {
    /// Waits for frames and puts them into `frames`, in order. Dropping the wait loses none.
    async fn receive(&mut self, frames: &mut Vec<Bytes>) -> Result<(), ConnectError>;

    /// Whether a wait in [`receive`](Self::receive) ends by itself when something comes, as it does at
    /// first; otherwise what came is found by waiting anew. Waits are the same where that saves
    /// nothing.
    fn set_watched(&mut self, is_watched: bool) {
        let _ = is_watched;
    }

    /// Says something this often from now on, so that nothing cuts the connection for being idle.
    /// There is nothing to say where nothing does.
    fn show_life(&mut self, every: Duration) {
        let _ = every;
    }

    /// How long this end has said nothing, where something could cut it for that.
    fn quiet(&self) -> Option<Duration> {
        None
    }

    /// Connects another end that sends, to the server on which this end receives; `None` where that
    /// cannot be.
    fn sending_again(&self) -> Option<SendingAgain> {
        None
    }
}

/// Another end that sends, once it is connected.
pub(crate) type SendingAgain = BoxFuture<'static, Result<SendHalf, ConnectError>>;

/// The end that sends. Its driver must be polled for anything to happen.
pub(crate) struct SendHalf {
    pub(crate) publisher: Box<dyn Publisher>,
    /// Ends when the connection does.
    pub(crate) driver: BoxFuture<'static, ()>,
    /// Ends once the server is not the right one any more, with the reason. It is for who sends to
    /// watch: what is sent from then on reaches nobody.
    pub(crate) left: BoxFuture<'static, ConnectError>,
    /// What the processes of a namespace keep together there, over this connection.
    pub(crate) keyspace: Arc<dyn Keyspace>,
    /// Nothing but the position may be sent before that has come back: only then is it certain that
    /// the end that receives is on the same server.
    pub(crate) is_unproven: bool,
}

impl fmt::Debug for SendHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendHalf").finish_non_exhaustive()
    }
}

/// The handle to the end that sends.
pub(crate) trait Publisher: Send + Sync {
    /// Publishes one frame. It is in line when this returns, whether its answer is waited for or
    /// not: nothing that is begun later leaves before it. The answer is how many subscribers
    /// received it, where that means something.
    fn publish(&self, frame: Bytes) -> Reply;

    /// How many bytes wait for each hearer, where that can be known.
    fn backlogs(&self) -> BoxFuture<'static, Option<Vec<Backlog>>>;

    /// Why the connection ended, when it did.
    fn lost(&self) -> ConnectError {
        ConnectError::Lost
    }

    /// Whether the other side is the right one.
    fn check(&self) -> BoxFuture<'static, Result<(), ConnectError>>;
}

/// What becomes of a frame, once it is known.
pub(crate) type Reply = BoxFuture<'static, Result<Option<u64>, PublishError>>;

/// Puts a frame in line, which the first poll of its future does where there is a place for it.
fn in_line(
    publishing: impl Future<Output = Result<Option<u64>, PublishError>> + Send + 'static,
) -> Reply {
    let mut publishing: Reply = Box::pin(publishing);
    // A task that has used up its share of time is given nothing, not even a place in line.
    match unconstrained(publishing.as_mut()).now_or_never() {
        Some(answer) => Box::pin(ready(answer)),
        None => publishing,
    }
}

/// What the meeting place holds for a hearer that does not read as fast as others send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) subscriber: u64,
    pub(crate) bytes: usize,
}

/// Why a frame was not published, or may not have been.
#[derive(Debug)]
pub(crate) enum PublishError {
    /// It certainly was not, and trying again cannot help.
    Refused(String),
    /// It certainly was not, and trying again may help.
    NotNow(String),
    /// Nobody knows.
    Lost,
}
