//! The commands that share the connection that sends: whoever drives it begins them, and only so
//! many at once, so that a frame always finds a place in line.

use std::future::poll_fn;
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, Fuse};
use futures_util::stream::FuturesUnordered;
use redis::AsyncConnectionConfig;
use tokio::sync::{mpsc, oneshot};

/// How many commands may wait for their answers at once. A further one waits until one of them is
/// answered.
///
/// A frame waits for those before it, and a round trip answers no more than these. With 2,000 tasks
/// that count over a network of 2 ms there and back, 1,024 at once were 60,000 a second, and a frame
/// took 13 ms (median); 256 were 37,000 and 6 ms; 64 were 11,000 and 5 ms.
const AT_ONCE: usize = 1_024;

/// How many places the sender takes beside them: two frames, a position, a check, and a look at the
/// backlogs. Each is held until it is answered, or until the connection ends.
const OF_SENDER: usize = 5;

/// How many places the line of the connection has.
pub(crate) const PLACES: usize = AT_ONCE + OF_SENDER;

/// How many commands wait to be begun. Beyond that their callers wait.
const WAITING: usize = 64;

/// A driver that may be asked again after its end.
pub(crate) type Driver = Fuse<BoxFuture<'static, ()>>;

type Command = BoxFuture<'static, ()>;

/// Gives commands to whoever drives the connection.
#[derive(Clone, Debug)]
pub(crate) struct Commands {
    waiting: mpsc::Sender<Command>,
}

impl Commands {
    /// Begins a command in its turn; `None` where the connection ended before the answer. One that is
    /// dropped before it was begun is not sent.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let command = async move {
            // One that was begun keeps its place until it is answered, although nobody waits.
            if !answer.is_closed() {
                let _ = answer.send(question.await);
            }
        };
        self.waiting.send(Box::pin(command)).await.ok()?;
        answered.await.ok()
    }
}

/// How a connection is set up that has a place in line for all that is asked over it.
pub(crate) fn with_places() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_pipeline_buffer_size(PLACES)
}

/// The way to give commands to a connection that was set up [`with_places`], and the future that drives both.
pub(crate) fn commands(mut driver: Driver) -> (Commands, BoxFuture<'static, ()>) {
    let (waiting, mut commands) = mpsc::channel::<Command>(WAITING);
    let mut begun = FuturesUnordered::new();
    let driving = poll_fn(move |cx| {
        loop {
            while begun.len() < AT_ONCE
                && let Poll::Ready(Some(command)) = commands.poll_recv(cx)
            {
                begun.push(command);
            }
            // The first poll puts a command in line; a later one takes its answer.
            if !matches!(begun.poll_next_unpin(cx), Poll::Ready(Some(()))) {
                break;
            }
        }
        std::pin::Pin::new(&mut driver).poll(cx)
    });
    (Commands { waiting }, Box::pin(driving))
}
