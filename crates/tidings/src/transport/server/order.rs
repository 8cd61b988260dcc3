//! Tests that frames and commands on keys keep their order, against a server that is blocked.

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use redis::RedisConnectionInfo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

use crate::namespace::Namespace;
use crate::resp::{self, MAX_IN_FLIGHT};
use crate::transport::SendHalf;
use crate::transport::server::*;

/// A server that replies to each command, and reads nothing while it is blocked. Returns the frames
/// that were published on it, in order.
async fn serve(mut stream: DuplexStream, mut is_blocked: watch::Receiver<bool>) -> Vec<u8> {
    let (mut frames, mut unread, mut chunk) = (Vec::new(), Vec::new(), vec![0; 4_096]);
    loop {
        is_blocked.wait_for(|blocked| !blocked).await.unwrap();
        let read = stream.read(&mut chunk).await.unwrap();
        unread.extend_from_slice(&chunk[..read]);
        while let Some((command, rest)) = next_command(&unread) {
            match &*command[0] {
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

/// The first command of the read bytes, and the rest.
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
async fn frames_are_sent_in_order_when_commands_fill_the_connection() {
    let is_blocked = watch::Sender::new(false);
    let (client, stream) = tokio::io::duplex(256);
    let served = tokio::spawn(serve(stream, is_blocked.subscribe()));
    let (client, driver) = resp::connection(Box::pin(client));
    let namespace = Namespace::parse("shop").unwrap();
    let server = Server::new(&RedisConnectionInfo::default(), None, None, &namespace);
    let SendHalf {
        publisher,
        mut driver,
        keyspace,
        ..
    } = server.sending_over(client, driver, false);
    let keys = namespace.members();
    let ask = || keyspace.describe(&keys, &[tidings_codec::NodeId::new(1)]);

    is_blocked.send_replace(true);
    let mut commands = FuturesUnordered::new();
    let mut replies = Vec::new();
    for frame in [b'a', b'b', b'c', b'd', LAST] {
        for number in 0..2 * MAX_IN_FLIGHT {
            let mut command = ask();
            let _ = (&mut command).now_or_never();
            // The reply to every other command is never awaited.
            if number % 2 == 0 {
                commands.push(command);
            }
            let _ = (&mut driver).now_or_never();
            tokio::task::yield_now().await;
        }
        replies.push(publisher.publish(Bytes::from(vec![frame])));
        let _ = futures_util::poll!(commands.next());
    }
    is_blocked.send_replace(false);

    // The replies to the frames are not polled.
    let asking = async { while commands.next().await.is_some() {} };
    let all = async { futures_util::join!(asking, driver) };
    let all = tokio::time::timeout(std::time::Duration::from_secs(10), all);
    all.await
        .expect("the server closes the connection after the last frame");
    assert_eq!(served.await.unwrap(), b"abcdz");
}
