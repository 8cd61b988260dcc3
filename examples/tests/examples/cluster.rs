//! The cluster of the compose file without Docker: the same `redis.conf`, and the same script that
//! makes a cluster of the nodes.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use futures_util::future::join_all;
use tidings_testkit::{Redis, free_port, wait_for};
use tokio::time::Instant;

use crate::save_search::Service;

/// One and a half times the `cluster-node-timeout` of `redis.conf`, the election, and what a busy
/// machine adds.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(3 + 2 + 2);

const SOON: Duration = Duration::from_secs(30);

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("save-search")
        .join(name)
}

async fn node() -> Redis {
    let configuration = file("redis.conf");
    let node = Redis::builder()
        .config(
            "include",
            format!("{:?}", configuration.display().to_string()),
        )
        .config("cluster-port", free_port().to_string());
    node.start().await
}

fn init(addresses: &[String]) -> Output {
    let mut script = Command::new("sh");
    script.arg(file("init-cluster.sh")).args(addresses);
    script.output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nodes_become_a_cluster_once_and_the_service_survives_the_master_of_a_key() {
    let mut nodes = join_all((0..6).map(|_| node())).await;
    let addresses: Vec<_> = nodes
        .iter()
        .map(|node| node.address().to_string())
        .collect();
    for expected in ["6 nodes are ready", "the nodes are a cluster already"] {
        let output = init(&addresses);
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{errors}");
        assert!(said.contains(expected), "{said}");
    }
    let service = Service::start(&[("REDIS_CLUSTER_URLS", &addresses.join(","))]).await;
    assert_eq!(service.save("colour", "green").await.status, 201);

    let master = master_of(&nodes, "tidings:{save-search}").await;
    nodes[master].kill();
    let killed = Instant::now();

    // Nothing waits longer than a second, and the value comes back.
    let mut longest = Duration::ZERO;
    wait_for("values are saved again", SOON, async || {
        let begun = Instant::now();
        let status = service.save("shape", "round").await.status;
        longest = longest.max(begun.elapsed());
        assert!(matches!(status, 201 | 503), "{status}");
        status == 201
    })
    .await;
    let away = killed.elapsed();
    println!("saved again after {away:.1?}, the longest request took {longest:.2?}");
    assert!(away < COMES_BACK_WITHIN, "{away:?}");
    assert!(longest < Duration::from_millis(1_200), "{longest:?}");
    let found = service.search("colour").await;
    assert_eq!(found.status, 200);
    assert!(found.body.contains("green"), "{}", found.body);
}

/// The node that has the slot of a key.
async fn master_of(nodes: &[Redis], key: &str) -> usize {
    for (index, node) in nodes.iter().enumerate() {
        let answer = node.try_command(&["GET", key]).await;
        if node.is_master().await && answer.is_ok() {
            return index;
        }
    }
    panic!("no master has `{key}`");
}

#[test]
fn the_script_fails_where_it_cannot_make_a_cluster() {
    let too_few = init(&["127.0.0.1:6379".to_owned()]);
    assert!(!too_few.status.success());
    let errors = String::from_utf8_lossy(&too_few.stderr);
    assert!(errors.contains("at least 6 nodes"), "{errors}");

    let wrong = init(&vec!["redis-1".to_owned(); 6]);
    assert!(!wrong.status.success());
    let errors = String::from_utf8_lossy(&wrong.stderr);
    assert!(errors.contains("is not host:port"), "{errors}");
}
