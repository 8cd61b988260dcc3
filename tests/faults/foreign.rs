//! What others put on the channel: `redis-cli`, other versions, and strangers who mean no good.

use std::process::Stdio;

use tidings::{Failure, NodeId};
use tidings_testkit::{Collected, Redis};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

const CHANNEL: &str = "tidings:{default}";

async fn publish(redis: &Redis, frame: &[u8]) {
    let mut connection = redis::Client::open(redis.url())
        .expect("the test kit makes addresses")
        .get_multiplexed_async_connection()
        .await
        .expect("the server is up");
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(CHANNEL).arg(frame);
    publish
        .exec_async(&mut connection)
        .await
        .expect("nobody forbids it");
}

#[tokio::test]
async fn handlers_hear_what_redis_cli_sends() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let keys: Collected<String> = node.collect("cache.clear");

    let frame = r#"{"event":"cache.clear","data":"user:7"}"#;
    assert_eq!(redis.cli(&["PUBLISH", CHANNEL, frame]).await.trim(), "1");

    assert_eq!(*keys.wait_for(|_| true).await, "user:7");
    assert!(node.gaps().all().is_empty() && node.failures().all().is_empty());
}

#[tokio::test]
async fn redis_cli_hears_what_the_bus_sends() {
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

#[tokio::test]
async fn hostile_frames_are_reported_and_the_next_event_is_handled() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let ticks: Collected<u64> = node.collect("tick");
    let deep = "[".repeat(100_000);
    let nested = [&[0x94, 1, 0xc0, 0xc0][..], &[0x91; 5_000]].concat();
    let hostile: [&[u8]; 9] = [
        b"",
        b"garbage",
        b"{\"v\":2,\"from\":\"00000000000000000000000000000001\",\"seq\":1,\"events\":[]}",
        b"{\"v\":1,\"events\":",
        b"null",
        deep.as_bytes(),
        &nested,
        &[0x94, 1, 0xc0, 0xc0, 0xdd, 0xff, 0xff, 0xff, 0xff],
        &vec![b' '; 2 << 20],
    ];

    for frame in hostile {
        publish(&redis, frame).await;
    }
    node.send_to_all("tick", &1).await.unwrap();

    ticks.wait_len(1).await;
    let failures = node.failures().wait_len(hostile.len()).await;
    assert_eq!(failures.len(), hostile.len());
    for failure in failures {
        assert!(matches!(&*failure, Failure::Frame { .. }), "{failure:?}");
    }
}

#[tokio::test]
async fn one_bad_event_of_a_frame_spoils_only_itself() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let ticks: Collected<u64> = node.collect("tick");

    let frame = r#"{"v":1,"from":"00000000000000000000000000000001","seq":1,"events":[
        {"event":"tick","data":1},{"event":"no name","data":2},{"event":"tick","data":"three"},
        {"event":"tick","to":"nobody","data":4},{"event":"tick","data":5}]}"#;
    publish(&redis, frame.as_bytes()).await;

    let heard: Vec<u64> = ticks.wait_len(2).await.iter().map(|tick| **tick).collect();
    assert_eq!(heard, [1, 5]);
    node.failures().wait_len(3).await;
    let failures = node.failures().all();
    let malformed = failures
        .iter()
        .filter(|failure| matches!(***failure, Failure::Event { .. }));
    assert_eq!((failures.len(), malformed.count()), (3, 2));
}

#[tokio::test]
async fn a_repeated_frame_is_handled_once_and_a_jump_is_a_gap() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let ticks: Collected<u64> = node.collect("tick");
    let sender: NodeId = "00000000000000000000000000000001".parse().unwrap();
    let frame = |seq: u64| {
        format!(
            r#"{{"v":1,"from":"{sender}","seq":{seq},"events":[{{"event":"tick","data":{seq}}}]}}"#
        )
    };

    for seq in [7, 8, 8, 7, 12] {
        publish(&redis, frame(seq).as_bytes()).await;
    }

    let heard: Vec<u64> = ticks.wait_len(3).await.iter().map(|tick| **tick).collect();
    assert_eq!(heard, [7, 8, 12]);
    let gap = node.gaps().wait_for(|_| true).await;
    assert_eq!((gap.from, gap.missed), (Some(sender), Some(3)));
    assert_eq!((node.health().repeated, node.health().missed), (2, 3));
}

#[tokio::test]
async fn a_lost_last_event_is_noticed_by_the_senders_announcement() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let sender: NodeId = "00000000000000000000000000000001".parse().unwrap();
    let announce = |seq: u64| format!(r#"{{"v":1,"from":"{sender}","seq":{seq},"events":[]}}"#);

    publish(&redis, announce(5).as_bytes()).await;
    publish(&redis, announce(5).as_bytes()).await;
    publish(&redis, announce(6).as_bytes()).await;

    let gap = node.gaps().wait_for(|_| true).await;
    assert_eq!((gap.from, gap.missed), (Some(sender), Some(1)));
}
