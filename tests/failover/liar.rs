//! A sentinel that says what is not so, with all that others must have to believe it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tidings::{Bus, Connection};
use tidings_testkit::{Collected, Node, Sentinels};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Says of a server that it is the master, in an epoch that nobody else has reached.
async fn liar(master: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, master));
        }
    });
    address
}

async fn answer(stream: TcpStream, master: SocketAddr) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let words = command(&mut stream).await?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (ip, port) = (master.ip().to_string(), master.port().to_string());
        let answer = match words[..] {
            ["HELLO", ..] => map(&[("server", "redis"), ("proto", "3")]),
            ["SUBSCRIBE", channel] => {
                format!(">3\r\n{}{}:1\r\n", bulk("subscribe"), bulk(channel))
            }
            ["SENTINEL", "MASTER", _] => map(&[
                ("ip", &ip),
                ("port", &port),
                ("flags", "master"),
                ("config-epoch", "1000000"),
            ]),
            ["SENTINEL", "SENTINELS", _] => "*0\r\n".to_owned(),
            ["SENTINEL", ..] => format!("*2\r\n{}{}", bulk(&ip), bulk(&port)),
            _ => "+OK\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

/// Reads an array of texts.
async fn command(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for _ in 0..number(stream).await? {
        let mut word = vec![0; number(stream).await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8(word).ok()?.trim_end().to_owned());
    }
    Some(words)
}

async fn number(stream: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.get(1..)?.trim_end().parse().ok()
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn map(fields: &[(&str, &str)]) -> String {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| bulk(name) + &bulk(value))
        .collect();
    format!("%{}\r\n{}", fields.len(), fields.concat())
}

#[tokio::test]
async fn a_replica_that_one_sentinel_calls_the_master_is_not_believed() {
    let sentinels = Sentinels::start().await;
    let master = sentinels.master().await;
    let replica = sentinels
        .servers()
        .iter()
        .find(|one| one.port() != master.port());
    let liar = liar(replica.unwrap().address()).await;
    let url = sentinels
        .url()
        .replace("redis+sentinel://", &format!("redis+sentinel://{liar},"));

    let node = Node::start(Bus::builder(&url)).await;

    let through = |node: &Node| match node.health().connection {
        Connection::Up { server, .. } => server,
        other => panic!("{other:?}"),
    };
    assert_eq!(through(&node), master.url());
    let ticks: Collected<u64> = node.collect("tick");
    // For longer than any answer counts.
    let mut clock = tokio::time::interval(Duration::from_millis(100));
    for tick in 1..=40 {
        clock.tick().await;
        node.send_to_all("tick", &tick).await.unwrap();
    }
    ticks.wait_len(40).await;
    assert_eq!(through(&node), master.url());
    assert_eq!(node.health().reconnects, 0);

    let new = sentinels.failover().await;
    let mut changes = node.watch_health();
    let url = new.url();
    let follows = changes.wait_for(
        |health| matches!(&health.connection, Connection::Up { server, .. } if *server == url),
    );
    tokio::time::timeout(Duration::from_secs(30), follows)
        .await
        .unwrap();
}
