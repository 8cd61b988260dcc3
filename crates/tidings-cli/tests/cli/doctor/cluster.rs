//! A Redis Cluster, of which more and more is wrong.

use std::time::Duration;

use tidings_testkit::{Cluster, wait_for};

use crate::doctor::examination::{Examination, examine_at, paste};
use crate::fleet::{Fleet, PASSWORD};

const SECONDS: Duration = Duration::from_secs(20);

async fn start() -> (Fleet, Cluster) {
    let cluster = Cluster::builder()
        .servers(|server| server.password(PASSWORD))
        .start();
    tokio::join!(Fleet::start(), cluster)
}

fn examine(fleet: &Fleet, cluster: &Cluster) -> Examination {
    examine_at(fleet, &cluster.url())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_wrong_settings_and_uncovered_slots_is_found() {
    let (fleet, cluster) = start().await;
    examine(&fleet, &cluster).has_only(&[]);

    let first = cluster.servers().next().unwrap();
    for timeout in ["300", "60000"] {
        let set = ["CONFIG", "SET", "cluster-node-timeout", timeout];
        first.command(&set).await;
        let examination = examine(&fleet, &cluster);
        examination.has_only(&[("cluster-timeout", "warning")]);
        paste(&examination.cures("cluster-timeout")[0]);
    }
    examine(&fleet, &cluster).has_only(&[]);

    // An address that only the other nodes can use, as inside of a container.
    let second = cluster.servers().nth(1).unwrap();
    let announce = ["CONFIG", "SET", "cluster-announce-port", "1"];
    second.command(&announce).await;
    let host = first.address();
    let one = format!("redis+cluster://:{PASSWORD}@{host}");
    wait_for("the wrong address is known", SECONDS, async || {
        let examination = examine_at(&fleet, &one);
        examination.severity("reach") == "error"
    })
    .await;
    let examination = examine_at(&fleet, &one);
    assert!(examination.cures("reach")[0].ends_with("-p 1 PING"));
    let text = examination.text("reach");
    assert!(text.contains("cluster-announce-ip"), "{text}");
    let announce = ["CONFIG", "SET", "cluster-announce-port", "0"];
    second.command(&announce).await;

    first.command(&["CLUSTER", "DELSLOTS", "0", "1", "2"]).await;
    wait_for("the slots are missing", SECONDS, async || {
        let examination = examine(&fleet, &cluster);
        examination.of("cluster-slots").iter().any(|finding| {
            let text = finding["text"].as_str().unwrap();
            finding["severity"] == "error" && text.contains("3 of 16384 slots have no master")
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_failed_and_a_master_without_a_replica_are_found() {
    let (fleet, mut cluster) = start().await;
    let replica = cluster.servers_mut().last().unwrap();
    let port = replica.port();
    replica.kill();

    wait_for("the node has failed", SECONDS, async || {
        examine(&fleet, &cluster).severity("cluster-nodes") == "warning"
    })
    .await;
    let examination = examine(&fleet, &cluster);
    examination.has_only(&[
        ("reach", "error"),
        ("cluster-nodes", "warning"),
        ("cluster-replicas", "warning"),
    ]);
    assert!(
        examination
            .text("cluster-nodes")
            .contains(&port.to_string())
    );
}
