//! The version of the server, as a bus reports it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tidings::Bus;
use tidings_testkit::{Node, Redis};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::log_capture;

/// Forwards the answers of a server, with another version in its answer to `HELLO`.
async fn with_version(
    version: &str,
    server: impl AsyncRead + Unpin,
    mut client: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut server = BufReader::new(server);
    let mut line = Vec::new();
    let mut lines_until_version = 0;
    while server.read_until(b'\n', &mut line).await? > 0 {
        if line == b"version\r\n" {
            lines_until_version = 3;
        }
        match lines_until_version {
            2 => line = format!("${}\r\n", version.len()).into_bytes(),
            1 => line = format!("{version}\r\n").into_bytes(),
            _ => {}
        }
        lines_until_version = i32::max(0, lines_until_version - 1);
        client.write_all(&line).await?;
        line.clear();
    }
    client.shutdown().await
}

/// Returns the URL of a server that reports another version.
async fn as_version(version: &'static str, server: String) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(&server).await.unwrap();
            let (mut asking, answered) = client.into_split();
            let (answering, mut asked) = server.into_split();
            tokio::spawn(with_version(version, answering, answered));
            tokio::spawn(async move {
                let _ = tokio::io::copy(&mut asking, &mut asked).await;
                let _ = asked.shutdown().await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_server_that_is_too_old_is_named_in_one_warning() {
    let log = log_capture::log();
    let redis = Redis::start().await;
    let address = as_version("6.0.16", redis.address().to_string()).await;
    let of_age = |line: &String| {
        line.contains(&address.to_string()) && line.contains("older than Redis 6.2")
    };

    let node = Node::start(Bus::builder(&format!("redis://{address}"))).await;
    let id = node.id().to_string();
    let warning = log.wait_for(of_age).await;
    redis.kill_clients().await;
    let again = |line: &String| line.contains(&id) && line.contains("reconnected");
    log.wait_for(again).await;

    assert!(warning.contains(" WARN "), "{warning}");
    assert!(warning.contains("6.0.16"), "{warning}");
    assert!(warning.contains("resetchannels"), "{warning}");
    assert_eq!(log.all().iter().filter(|line| of_age(line)).count(), 1);
}
