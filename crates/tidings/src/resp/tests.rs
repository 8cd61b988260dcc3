//! Tests of a connection against a server that is in memory.

use std::future::poll_fn;
use std::sync::Barrier;
use std::thread;

use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::unconstrained;

use super::*;
use crate::namespace::channel::PubSub;

fn shop(kind: PubSub) -> Channel {
    let name = "shop".to_owned();
    Channel { name, kind }
}

/// A connection that follows `shop`, and its server.
fn connected() -> (Client, Driver, DuplexStream) {
    let (near, far) = duplex(8 << 20);
    let (client, mut driver) = connection(Box::pin(near));
    driver.follow(&shop(PubSub::Classic));
    (client, driver, far)
}

fn message(frame: &[u8]) -> Vec<u8> {
    let mut message = b">3\r\n$7\r\nmessage\r\n$4\r\nshop\r\n$".to_vec();
    message.extend(format!("{}\r\n", frame.len()).bytes());
    message.extend(frame);
    message.extend(b"\r\n");
    message
}

/// Returns what the connection hands over at once; `None` at its end.
fn poll(driver: &mut Driver) -> Option<Vec<Bytes>> {
    let mut frames = Vec::new();
    let polled = poll_fn(|cx| driver.poll_frames(cx, &mut frames));
    let is_open = unconstrained(polled).now_or_never().unwrap_or(true);
    is_open.then_some(frames)
}

#[tokio::test]
async fn answers_and_frames_may_arrive_byte_by_byte() {
    let (client, mut driver, mut server) = connected();
    let answers: Vec<_> = (0..3).map(|_| client.send(&redis::cmd("PING"))).collect();
    let large = vec![b'l'; 2 * CHUNK];
    let sent = [
        b"%1\r\n+role\r\n$6\r\nmaster\r\n".as_slice(),
        b"|1\r\n+a\r\n+b\r\n-NOPERM no\r\n",
        b">2\r\n+other\r\n_\r\n",
        &message(b"small"),
        &message(&large),
        b":7\r\n",
        &message(b""),
    ]
    .concat();
    let mut frames = Vec::new();
    for byte in sent {
        server.write_all(&[byte]).await.unwrap();
        frames.extend(poll(&mut driver).unwrap());
    }
    assert_eq!(frames, [&b"small"[..], &large, b""]);
    let mut answers = answers.into_iter().map(FutureExt::now_or_never);
    let role = answers.next().flatten().unwrap().unwrap();
    assert!(matches!(role, Value::Map(fields) if fields.len() == 1));
    assert!(answers.next().flatten().is_some());
    assert_eq!(answers.next().flatten().unwrap().unwrap(), Value::Int(7));
}

#[tokio::test]
async fn pipelines_and_commands_of_two_threads_get_their_own_answers() {
    const PIPELINES: usize = 100;
    const COMMANDS: usize = 50;
    const ECHO: &str = "*2\r\n$4\r\nECHO\r\n";
    let text = |number: usize| format!("{number:08}");
    let echo = |number| redis::cmd("ECHO").arg(text(number)).clone();
    let (client, mut driver, mut server) = connected();

    let pipeline = |first: usize| {
        let mut pipeline = Pipeline::new();
        for number in first..first + COMMANDS {
            pipeline.add_command(echo(number));
        }
        let shared = Arc::clone(&client.shared);
        let permits = None;
        (Client { shared, permits }, pipeline)
    };
    let firsts = (0..PIPELINES).map(|index| index * COMMANDS);
    let mut pipelines: Vec<_> = firsts.clone().map(pipeline).collect();
    let mut pipelined: Vec<_> = pipelines
        .iter_mut()
        .map(|(client, pipeline)| client.req_packed_commands(pipeline, 0, COMMANDS))
        .collect();
    let alone = PIPELINES * COMMANDS..2 * PIPELINES * COMMANDS;
    let commands: Vec<_> = alone.clone().map(echo).collect();
    let both = Barrier::new(2);
    let single: Vec<_> = thread::scope(|scope| {
        scope.spawn(|| {
            both.wait();
            let is_waiting = |answers| unconstrained(answers).now_or_never().is_none();
            assert!(pipelined.iter_mut().all(is_waiting));
        });
        both.wait();
        commands.iter().map(|echo| client.send(echo)).collect()
    });

    let mut written = Vec::new();
    while written.len() < alone.end * (ECHO.len() + "$8\r\n12345678\r\n".len()) {
        poll(&mut driver).unwrap();
        server.read_buf(&mut written).now_or_never();
    }
    let answers = String::from_utf8(written).unwrap().replace(ECHO, "");
    server.write_all(answers.as_bytes()).await.unwrap();
    for _ in 0..answers.len() / CHUNK + 2 {
        poll(&mut driver).unwrap();
    }

    let answer = |number| Value::BulkString(text(number).into_bytes());
    for (number, own) in alone.zip(single) {
        assert_eq!(unconstrained(own).now_or_never(), Some(Ok(answer(number))));
    }
    for (first, own) in firsts.zip(pipelined) {
        let expected: Vec<_> = (first..first + COMMANDS).map(answer).collect();
        assert_eq!(unconstrained(own).now_or_never(), Some(Ok(expected)));
    }
}

#[tokio::test]
async fn a_frame_over_the_limit_is_handed_over_whole() {
    let (_client, mut driver, mut server) = connected();
    let frame = vec![b'f'; 3 * MAX_READ];
    server.write_all(&message(&frame)).await.unwrap();
    assert_eq!(poll(&mut driver).unwrap(), [frame]);
}

#[tokio::test]
async fn reading_stops_at_the_limit_until_the_frames_are_taken() {
    let (_client, mut driver, mut server) = connected();
    let frame = message(&vec![b'f'; 2 * CHUNK]);
    let (frames, mut taken) = (4 * MAX_READ / frame.len(), 0);
    server.write_all(&frame.repeat(frames)).await.unwrap();
    while taken < frames {
        let some = poll(&mut driver).unwrap();
        assert!(!some.is_empty() && some.len() * frame.len() <= MAX_READ + 2 * frame.len());
        taken += some.len();
    }
}

#[tokio::test]
async fn a_length_that_a_server_claims_is_not_allocated() {
    for claim in ["$9000000000000000000\r\n", "*9000000000000000000\r\n$7\r\n"] {
        let (_client, mut driver, mut server) = connected();
        server.write_all(claim.as_bytes()).await.unwrap();
        assert_eq!(poll(&mut driver).unwrap(), Vec::<Bytes>::new());
        assert!(driver.read.capacity() <= 2 * MAX_READ);
    }
}

#[tokio::test]
async fn malformed_bytes_end_the_connection() {
    let long = [b"+".to_vec(), vec![b'x'; 1 << 17]].concat();
    for bytes in [
        b"HTTP/1.1 400".as_slice(),
        b"$x\r\n",
        b"+a\n",
        b"*-9223372036854775809\r\n",
        b"*3\r\n%9223372036854775807\r\n",
        b">3\r\n$7\r\nmessage\r\n$4\r\nshop\r\n$-1\r\n",
        &long,
    ] {
        let (client, mut driver, mut server) = connected();
        let answer = client.send(&redis::cmd("PING"));
        server.write_all(bytes).await.unwrap();
        assert_eq!(poll(&mut driver), None, "{bytes:?}");
        assert!(answer.await.is_err() && client.end().is_some());
        assert!(client.send(&redis::cmd("PING")).await.is_err());
    }
}

#[tokio::test]
async fn what_a_server_sent_before_it_closed_the_connection_is_read() {
    let (client, mut driver, mut server) = connected();
    server.write_all(b"-ERR max clients\r\n").await.unwrap();
    drop(server);
    let answers = [(); 2].map(|()| client.send(&redis::cmd("PING")));
    assert_eq!(poll(&mut driver), None);
    let [first, second] = answers;
    assert!(matches!(first.await, Ok(Value::ServerError(_))));
    assert!(second.await.is_err());
}

#[tokio::test]
async fn commands_are_written_in_the_order_of_their_calls() {
    let (client, mut driver, mut server) = connected();
    let mut limited = client.limited();
    let command = redis::cmd("PING");
    let mut asking = limited.req_packed_command(&command);
    assert!((&mut asking).now_or_never().is_none());
    drop(client.publish(&publish_head(&shop(PubSub::Classic)), b"frame"));
    assert_eq!(poll(&mut driver), Some(Vec::new()));
    let expected = b"*1\r\n$4\r\nPING\r\n*3\r\n$7\r\nPUBLISH\r\n$4\r\nshop\r\n$5\r\nframe\r\n";
    let mut written = vec![0; expected.len()];
    server.read_exact(&mut written).await.unwrap();
    assert_eq!(written, expected);
}

proptest! {
    #[test]
    fn no_input_panics(bytes in "[-+:$*_#,(!=%|~>0-9a\r\n]{0,200}") {
        let bytes = bytes.replace('a', "\r\n");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (client, mut driver, mut server) = connected();
            let _answer = client.send(&redis::cmd("PING"));
            server.write_all(bytes.as_bytes()).await.unwrap();
            let _ = poll(&mut driver);
        });
    }
}

#[tokio::test]
async fn sharded_frames_are_handed_over_until_the_server_ends_the_subscription() {
    let (client, mut driver, mut server) = connected();
    driver.follow(&shop(PubSub::Sharded));
    let subscribed = client.send(&redis::cmd("SSUBSCRIBE"));
    let sent = b">3\r\n$10\r\nssubscribe\r\n$4\r\nshop\r\n:1\r\n\
                 >3\r\n$8\r\nsmessage\r\n$4\r\nshop\r\n$5\r\nframe\r\n";
    server.write_all(sent).await.unwrap();
    assert_eq!(poll(&mut driver).unwrap(), ["frame"]);
    assert!(subscribed.now_or_never().unwrap().is_ok());
    assert!(!driver.has_left());

    let sent = b">3\r\n$12\r\nsunsubscribe\r\n$4\r\nshop\r\n:0\r\n";
    server.write_all(sent).await.unwrap();
    assert_eq!(poll(&mut driver).unwrap(), [""; 0]);

    assert!(driver.has_left());
}
