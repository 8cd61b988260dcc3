//! Log lines of a start, an outage and its end.

use std::time::Duration;

use tidings::Bus;
use tidings_testkit::{Node, Redis, free_port};
use tokio::time::timeout;

use crate::log_capture;

/// Long enough for the third reminder, and too short for the fourth.
const WATCHED: Duration = Duration::from_secs(100);

#[tokio::test(start_paused = true)]
async fn a_start_that_waits_for_redis_warns_at_once_and_every_30_s() {
    let log = log_capture::log();
    let address = format!("redis://127.0.0.1:{}", free_port());

    let builder = Bus::builder(&address).namespace("waits");
    let starting = builder.wait_for_redis().start();
    assert!(timeout(WATCHED, starting).await.is_err());

    let lines = log.all();
    let of_this = |line: &&String| line.contains(&address) && line.contains(" WARN ");
    let lines: Vec<_> = lines.iter().map(|line| &**line).filter(of_this).collect();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    for line in lines {
        assert!(line.contains("refused"), "{line}");
        assert!(line.contains("namespace=\"waits\""), "{line}");
        assert!(line.contains("node="), "{line}");
    }
}

#[tokio::test]
async fn an_outage_is_logged_with_its_cause_and_its_end() {
    let log = log_capture::log();
    let mut redis = Redis::builder().password("hush-hush").start().await;
    let node = Node::start(Bus::builder(&redis.url()).namespace("outage")).await;
    let id = node.id().to_string();
    let of_node = |line: &String, words: &str| line.contains(&id) && line.contains(words);

    redis.kill();
    let lost = log.wait_for(|line| of_node(line, "disconnected")).await;
    let refused = log.wait_for(|line| of_node(line, "cannot connect")).await;
    redis.start_again().await;
    let back = log.wait_for(|line| of_node(line, "reconnected")).await;

    let address = redis.url().replace(":hush-hush@", "");
    for (line, level) in [(&lost, " WARN "), (&refused, " WARN "), (&back, " INFO ")] {
        assert!(line.contains(level), "{line}");
        assert!(line.contains(&address), "{line}");
        assert!(line.contains("namespace=\"outage\""), "{line}");
    }
    assert!(!lost.contains("was lost"), "{lost}");
    let causes = ["the server closed the connection", "os error"];
    assert!(causes.iter().any(|cause| lost.contains(cause)), "{lost}");
    assert!(refused.contains("refused"), "{refused}");
}

#[tokio::test]
async fn a_cut_connection_is_logged_with_its_cause() {
    let log = log_capture::log();
    let redis = Redis::start().await;
    let node = redis.node().await;
    let id = node.id().to_string();

    redis.kill_clients().await;

    let lost = log
        .wait_for(|line| line.contains(&id) && line.contains("disconnected"))
        .await;
    assert!(lost.contains("ing: "), "{lost}");
    assert!(!lost.contains("was lost"), "{lost}");
}
