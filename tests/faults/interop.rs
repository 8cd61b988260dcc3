//! `redis-cli` sends what the bus receives, and receives what the bus sends.

use std::process::Stdio;

use tidings_testkit::{Collected, Redis};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

const CHANNEL: &str = "tidings:{default}";

#[tokio::test]
async fn handlers_receive_events_from_redis_cli() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let keys: Collected<String> = node.collect("cache.clear");

    let frame = r#"{"event":"cache.clear","data":"user:7"}"#;
    assert_eq!(redis.cli(&["PUBLISH", CHANNEL, frame]).await.trim(), "1");

    assert_eq!(*keys.wait_for(|_| true).await, "user:7");
    assert!(node.gaps().all().is_empty() && node.failures().all().is_empty());
}

#[tokio::test]
async fn redis_cli_receives_what_the_bus_sends() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let port = redis.port().to_string();
    let mut cli = Command::new("redis-cli")
        .args(["-p", &port, "SUBSCRIBE", CHANNEL])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("redis-cli comes with redis-server");
    let mut lines = BufReader::new(cli.stdout.take().unwrap()).lines();
    for line in ["subscribe", CHANNEL, "1"] {
        assert!(lines.next_line().await.unwrap().unwrap().ends_with(line));
    }

    node.send_to_all("cache.clear", "user:7").await.unwrap();

    let frame = loop {
        let line = lines.next_line().await.unwrap().unwrap();
        if line.contains("cache.clear") {
            break line;
        }
    };
    let frame: serde_json::Value = serde_json::from_str(&frame).unwrap();
    assert_eq!(frame["v"], 1);
    assert_eq!(frame["from"], node.id().to_string());
    assert_eq!(frame["seq"], 1);
    assert_eq!(frame["events"][0]["event"], "cache.clear");
    assert_eq!(frame["events"][0]["data"], "user:7");
    cli.kill().await.unwrap();
}
