//! Sentinels and the servers that they watch.

use std::time::Duration;

use tidings_testkit::{Redis, Sentinels, wait_for};

use crate::doctor::examination::{Examination, examine_at, paste};
use crate::fleet::{Fleet, PASSWORD};

const SECONDS: Duration = Duration::from_secs(20);

/// Sentinels, with servers that need a password, and the Redis that `Fleet` has besides.
async fn start() -> (Fleet, Sentinels) {
    let sentinels = Sentinels::builder()
        .servers(|server| server.password(PASSWORD))
        .down_after(Duration::from_millis(400))
        .start();
    let (fleet, sentinels) = tokio::join!(Fleet::start(), Box::pin(sentinels));
    (fleet, sentinels)
}

fn examine(fleet: &Fleet, sentinels: &Sentinels) -> Examination {
    examine_at(fleet, &sentinels.url())
}

async fn set(redis: &Redis, name: &str, value: &str) {
    redis.command(&["CONFIG", "SET", name, value]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_replicas_and_sentinels_that_are_wrong_are_found() {
    let (fleet, sentinels) = start().await;
    let replica = &sentinels.servers()[1];
    examine(&fleet, &sentinels).has_only(&[]);

    for (name, wrong, check) in [
        ("replica-read-only", "no", "replica-writes"),
        ("masterauth", "", "master-password"),
    ] {
        set(replica, name, wrong).await;
        let examination = examine(&fleet, &sentinels);
        examination.has_only(&[(check, "warning")]);
        let cure = &examination.cures(check)[0];
        assert!(cure.contains(&format!("-p {} ", replica.port())), "{cure}");
        paste(cure);
    }

    let first = sentinels.addresses()[0];
    let one = format!("redis+sentinel://:{PASSWORD}@{first}/mymaster");
    let examination = examine_at(&fleet, &one);
    examination.has_only(&[("sentinel-count", "warning")]);
    let all = sentinels.addresses().map(|address| address.to_string());
    let cure = &examination.cures("sentinel-count")[0];
    assert!(all.iter().all(|address| cure.contains(address)), "{cure}");

    let quorum = ["SENTINEL", "SET", "mymaster", "quorum", "9"];
    sentinels.sentinels()[0].command(&quorum).await;
    examine(&fleet, &sentinels).has_only(&[("sentinel-quorum", "error")]);
    let quorum = ["SENTINEL", "SET", "mymaster", "quorum", "2"];
    sentinels.sentinels()[0].command(&quorum).await;

    let secret = ["ACL", "SETUSER", "default", ">another"];
    sentinels.sentinels()[0].command(&secret).await;
    examine(&fleet, &sentinels).has_only(&[("sentinel-login", "error")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_that_names_another_master_is_an_error() {
    let (fleet, sentinels) = start().await;
    let lonely = &sentinels.sentinels()[2];
    lonely.command(&["SENTINEL", "REMOVE", "mymaster"]).await;
    let port = fleet.redis.port().to_string();
    let monitor = ["SENTINEL", "MONITOR", "mymaster", "127.0.0.1", &port, "2"];
    lonely.command(&monitor).await;

    let examination = examine(&fleet, &sentinels);

    let master: Vec<_> = examination.of("sentinel-master");
    let text = master[0]["text"].as_str().unwrap();
    assert!(text.contains("2 name"), "{text}");
    assert_eq!(examination.code, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_replicas_that_are_down_are_found() {
    let (fleet, mut sentinels) = start().await;
    sentinels.sentinels_mut()[2].kill();
    let examination = examine(&fleet, &sentinels);
    assert_eq!(examination.severity("sentinel-reach"), "warning");
    sentinels.sentinels_mut()[1].kill();
    let examination = examine(&fleet, &sentinels);
    let reach = examination.of("sentinel-reach");
    assert!(
        reach.iter().all(|finding| finding["severity"] == "error"),
        "{reach:#?}"
    );
    wait_for("the quorum is lost", SECONDS, async || {
        examine(&fleet, &sentinels).severity("sentinel-quorum") == "error"
    })
    .await;

    let replicas = &mut sentinels.servers_mut()[1..];
    replicas[0].command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let examination = examine(&fleet, &sentinels);
    assert_eq!(examination.severity("replica-link"), "error");

    sentinels.servers_mut()[1..]
        .iter_mut()
        .for_each(Redis::kill);
    wait_for("the master notices it", SECONDS, async || {
        let examination = examine(&fleet, &sentinels);
        let has = |check, severity| examination.problems().contains(&(check, severity));
        has("replica-count", "error") && has("reach", "error")
    })
    .await;
}
