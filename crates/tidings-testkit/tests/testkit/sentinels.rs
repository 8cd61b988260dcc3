//! Sentinels that know each other, and real failovers.

use std::time::Duration;

use tidings::{Bus, Connection};
use tidings_testkit::{Sentinels, wait_for};
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn all_sentinels_know_each_other_from_the_start() {
    let begun = Instant::now();
    let sentinels = Sentinels::start().await;
    let took = begun.elapsed();

    for sentinel in sentinels.sentinels() {
        let quorum = ["SENTINEL", "CKQUORUM", "mymaster"];
        let quorum = sentinel.cli(&quorum).await;
        assert!(quorum.starts_with("OK 3 usable Sentinels"), "{quorum}");
    }
    assert_eq!(
        sentinels.master().await.port(),
        sentinels.servers()[0].port()
    );
    let [one, two, three] = sentinels.addresses();
    let url = format!("redis+sentinel://{one},{two},{three}/mymaster");
    assert_eq!(sentinels.url(), url);
    assert!(took < Duration::from_secs(5), "started within {took:?}");
}

#[tokio::test]
async fn a_planned_failover_leaves_the_old_master_a_master_for_now() {
    let sentinels = Sentinels::start().await;
    let old = sentinels.master().await.port();

    let new = sentinels.failover().await;

    assert_ne!(new.port(), old);
    assert!(new.is_master().await);
    assert!(sentinels.servers()[0].is_master().await);
    assert_eq!(sentinels.master().await.port(), new.port());
}

#[tokio::test]
async fn a_killed_master_is_replaced_and_comes_back_as_a_master_for_now() {
    let mut sentinels = Sentinels::start().await;

    let dead = sentinels.kill_master().await;
    let new = sentinels.wait_for_master_other_than(dead).await;

    assert!(new.is_master().await);
    sentinels.servers_mut()[0].start_again().await;
    assert!(sentinels.servers()[0].is_master().await);
}

#[tokio::test]
async fn a_frozen_master_is_replaced_though_a_sentinel_is_dead() {
    let mut sentinels = Sentinels::builder()
        .servers(|server| server.password("hush-hush@p/word"))
        .sentinels(|sentinel| sentinel.password("hush-hush too"))
        .down_after(Duration::from_millis(500))
        .start()
        .await;
    assert!(
        sentinels
            .url()
            .contains("://:hush-hush%40p%2Fword@127.0.0.1:")
    );
    sentinels.sentinels_mut()[0].kill();

    let frozen = sentinels.freeze_master().await;
    let new = sentinels.wait_for_master_other_than(frozen).await.port();

    // A sentinel that was down learns the new master.
    sentinels.resume();
    sentinels.sentinels_mut()[0].start_again().await;
    assert_eq!(sentinels.master().await.port(), new);
}

#[tokio::test]
async fn a_frozen_sentinel_does_not_delay_the_others() {
    let sentinels = Sentinels::start().await;
    sentinels.sentinels()[0].freeze();

    let new = timeout(SOON, sentinels.failover()).await.unwrap().port();

    sentinels.resume();
    wait_for("the resumed sentinel names it too", SOON, async || {
        let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"];
        let named = sentinels.sentinels()[0].cli(&ask).await;
        named.ends_with(&new.to_string())
    })
    .await;
}

#[tokio::test]
async fn clients_that_are_cut_off_from_the_sentinels_go_on_with_the_old_master() {
    let sentinels = Sentinels::builder().partitions().start().await;
    let inside = Bus::builder(&sentinels.inside_url()).start().await.unwrap();
    let outside = Bus::builder(&sentinels.url()).start().await.unwrap();
    let old = sentinels.master().await;

    sentinels.partition();
    let new = sentinels.failover().await;

    wait_for("the other client moves", SOON, async || {
        is_on(&outside, new.port())
    })
    .await;
    assert!(is_on(&inside, old.port()));
    old.become_replica_of(new).await;
    assert_eq!(sentinels.settle().await.port(), new.port());
    sentinels.heal();
    wait_for("the client moves after the partition", SOON, async || {
        is_on(&inside, new.port())
    })
    .await;
}

fn is_on(bus: &Bus, port: u16) -> bool {
    let port = format!(":{port}");
    matches!(bus.health().connection, Connection::Up { server, .. } if server.ends_with(&port))
}
