//! Commands over the send connection. The task that polls the connection starts them, and only a
//! limited number at once, so that a frame always finds a free slot in the pipeline.

use std::future::poll_fn;
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, Fuse};
use futures_util::stream::FuturesUnordered;
use redis::AsyncConnectionConfig;
use tokio::sync::{mpsc, oneshot};

/// The maximal number of commands in flight; further ones wait for an answer.
///
/// A frame waits for those before it, and a round trip answers no more than these. With 2,000 tasks
/// that count over a network of 2 ms there and back, 1,024 at once were 60,000 a second, and a frame
/// took 13 ms (median); 256 were 37,000 and 6 ms; 64 were 11,000 and 5 ms.
const MAX_IN_FLIGHT: usize = 1_024;

/// The slots of the sender: two frames, a position, a check and a query of the backlogs. Each is in
/// use until it is answered or the connection ends.
const SENDER_SLOTS: usize = 5;

/// The number of slots in the pipeline of the connection.
pub(crate) const PIPELINE_SIZE: usize = MAX_IN_FLIGHT + SENDER_SLOTS;

/// The capacity of the queue of commands; if it is full, callers wait.
const MAX_WAITING: usize = 64;

/// The future that drives a connection; it may be polled after its end.
pub(crate) type Driver = Fuse<BoxFuture<'static, ()>>;

type Command = BoxFuture<'static, ()>;

/// Sends commands to the task that polls the connection.
#[derive(Clone, Debug)]
pub(crate) struct Commands {
    waiting: mpsc::Sender<Command>,
}

impl Commands {
    /// Runs a command in its turn; `None` if the connection ended before the answer. A command that
    /// is dropped before it was started is not sent.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        request: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let command = async move {
            // A started command keeps its slot until it is answered, even if its caller is gone.
            if !answer.is_closed() {
                let _ = answer.send(request.await);
            }
        };
        self.waiting.send(Box::pin(command)).await.ok()?;
        answered.await.ok()
    }
}

/// Returns the settings of a connection whose pipeline has [`PIPELINE_SIZE`] slots.
pub(crate) fn pipeline_config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_pipeline_buffer_size(PIPELINE_SIZE)
}

/// Returns the sender of commands to a connection with [`pipeline_config`], and the future that
/// drives both.
pub(crate) fn commands(mut driver: Driver) -> (Commands, BoxFuture<'static, ()>) {
    let (waiting, mut commands) = mpsc::channel::<Command>(MAX_WAITING);
    let mut in_flight = FuturesUnordered::new();
    let driving = poll_fn(move |cx| {
        loop {
            while in_flight.len() < MAX_IN_FLIGHT
                && let Poll::Ready(Some(command)) = commands.poll_recv(cx)
            {
                in_flight.push(command);
            }
            // The first poll sends a command, a later one takes its answer.
            if !matches!(in_flight.poll_next_unpin(cx), Poll::Ready(Some(()))) {
                break;
            }
        }
        std::pin::Pin::new(&mut driver).poll(cx)
    });
    (Commands { waiting }, Box::pin(driving))
}
