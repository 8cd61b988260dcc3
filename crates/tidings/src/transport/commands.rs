//! The commands that share the connection that sends: whoever drives it begins them, and only so
//! many at once, so that a frame always finds a place in line.

use std::future::poll_fn;
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use redis::AsyncConnectionConfig;
use tokio::sync::{mpsc, oneshot};

use crate::transport::connection::Driver;

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
const PLACES: usize = AT_ONCE + OF_SENDER;

/// How many commands wait to be begun. Beyond that their callers wait.
const WAITING: usize = 64;

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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;
    use redis::aio::MultiplexedConnection;
    use redis::{ProtocolVersion, RedisConnectionInfo};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::sync::watch;

    use super::*;
    use crate::keys::Namespace;
    use crate::transport::Sending;
    use crate::transport::keyspace::roll::Keys;
    use crate::transport::server::Server;
    use crate::transport::trail::Trail;

    /// A server that answers each command, and reads nothing while it stands still. Returns the
    /// frames that were published on it, in order.
    async fn serve(mut stream: DuplexStream, mut stands_still: watch::Receiver<bool>) -> Vec<u8> {
        let (mut frames, mut unread, mut chunk) = (Vec::new(), Vec::new(), vec![0; 4_096]);
        loop {
            stands_still.wait_for(|still| !still).await.unwrap();
            let read = stream.read(&mut chunk).await.unwrap();
            unread.extend_from_slice(&chunk[..read]);
            while let Some((command, rest)) = next_command(&unread) {
                match &*command[0] {
                    b"HELLO" => stream.write_all(b"%0\r\n").await.unwrap(),
                    b"PUBLISH" => {
                        frames.push(command[2][0]);
                        stream.write_all(b":1\r\n").await.unwrap();
                    }
                    _ => stream.write_all(b"*1\r\n_\r\n").await.unwrap(),
                }
                unread = rest;
            }
            if frames.last() == Some(&LAST) {
                return frames;
            }
        }
    }

    const LAST: u8 = b'z';

    /// The first command of what was read, and what follows it.
    fn next_command(mut unread: &[u8]) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
        let mut line = |kind: u8| {
            let end = unread.windows(2).position(|two| two == b"\r\n")?;
            assert_eq!(unread[0], kind);
            let length: usize = std::str::from_utf8(&unread[1..end])
                .unwrap()
                .parse()
                .unwrap();
            unread = &unread[end + 2..];
            if kind == b'*' {
                return Some((length, Vec::new()));
            }
            let text = unread.get(..length)?.to_vec();
            unread = unread.get(length + 2..)?;
            Some((length, text))
        };
        let (arguments, _) = line(b'*')?;
        let command = (0..arguments)
            .map(|_| Some(line(b'$')?.1))
            .collect::<Option<_>>()?;
        Some((command, unread.to_vec()))
    }

    #[tokio::test]
    async fn frames_leave_in_their_order_however_many_commands_fill_the_line() {
        let stands_still = watch::Sender::new(false);
        let (client, stream) = tokio::io::duplex(256);
        let served = tokio::spawn(serve(stream, stands_still.subscribe()));
        let settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        let connecting = MultiplexedConnection::new_with_config(&settings, client, with_places());
        let (connection, driver) = connecting.await.unwrap();
        let driver = driver.boxed().fuse();
        let namespace = Namespace::parse("shop").unwrap();
        let server = Server::new(&settings, None, &namespace);
        let Sending {
            publisher,
            mut driver,
            keyspace,
            ..
        } = server.sending_over(connection, (driver, Trail::default()), false);
        let keys = Keys::of(&namespace);
        let ask = || keyspace.describe(&keys, &[tidings_codec::NodeId::new(1)]);

        stands_still.send_replace(true);
        let mut commands = FuturesUnordered::new();
        let mut replies = Vec::new();
        for frame in [b'a', b'b', b'c', b'd', LAST] {
            for number in 0..2 * PLACES {
                let mut command = ask();
                let _ = (&mut command).now_or_never();
                // Of some nobody waits for the answer any more.
                if number % 2 == 0 {
                    commands.push(command);
                }
                let _ = (&mut driver).now_or_never();
                tokio::task::yield_now().await;
            }
            replies.push(publisher.publish(Bytes::from(vec![frame])));
            let _ = futures_util::poll!(commands.next());
        }
        stands_still.send_replace(false);

        // No frame needs more than to be published: nobody looks for the answers.
        let asking = async { while commands.next().await.is_some() {} };
        let all = async { futures_util::join!(asking, driver) };
        let all = tokio::time::timeout(std::time::Duration::from_secs(10), all);
        all.await
            .expect("the server hangs up once it has all of it");
        assert_eq!(served.await.unwrap(), b"abcdz");
    }
}
