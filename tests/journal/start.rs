//! Starts that fail or are refused.

use std::time::Duration;

use tidings::{Bus, ConnectError, Failure, Journal, StartError};
use tidings_testkit::{Collected, Node, Redis, wait_for};

use super::{has_received, journaled, send};

const SOON: Duration = Duration::from_secs(20);

/// Forgets all members, just after this one has renewed its lease: its next renewal is 3 s away.
async fn forget_members(redis: &Redis, member: &Node) {
    const MEMBERS: &str = "tidings:{default}:members";
    let id = member.id().to_string();
    let score = ["ZSCORE", MEMBERS, &id];
    let before = redis.cli(&score).await;
    wait_for("a renewal", Duration::from_secs(20), async || {
        redis.cli(&score).await != before
    })
    .await;
    redis.command(&["DEL", MEMBERS]).await;
}

fn is_mismatch(failure: &Failure, names: &str) -> bool {
    let text = tidings::report(failure).to_string();
    matches!(failure, Failure::JournalMismatch { .. }) && text.contains(names)
}

async fn refusal(builder: tidings::BusBuilder) -> String {
    let builder = builder.start_timeout(Duration::from_secs(3));
    let error = builder.start().await.expect_err("it is refused");
    tidings::report(&error).to_string()
}

#[tokio::test]
async fn a_key_of_another_type_is_refused_and_named() {
    let redis = Redis::start().await;
    redis
        .command(&["SET", "tidings:{default}:journal", "hello"])
        .await;
    let refusal = refusal(journaled(Bus::builder(&redis.url()))).await;
    assert!(
        refusal.contains("holds a string, not a stream"),
        "{refusal}"
    );
    assert!(refusal.contains("tidings:{default}:journal"), "{refusal}");
}

#[tokio::test]
async fn a_bus_that_does_not_create_the_journal_leaves_a_namespace_without_one_as_it_is() {
    let redis = Redis::start().await;
    for url in [redis.url(), tidings_testkit::memory_url()] {
        let looking = || {
            let journal = Journal::default().follow_only().create(false);
            Bus::builder(&url).membership(false).journal(journal)
        };
        let error = looking().start().await.unwrap_err();
        let is_no_journal = matches!(
            &error,
            StartError::Refused {
                source: ConnectError::NoJournal,
                ..
            }
        );
        assert!(is_no_journal, "{error:?}");
        let keys = redis.cli(&["KEYS", "*"]).await;
        assert_eq!(keys.trim(), "", "{keys}");

        let node = Node::start(journaled(Bus::builder(&url))).await;
        node.send_to_all("tick", &1).await.unwrap();
        let bus = looking().start().await.unwrap();
        let info = bus.journal().unwrap().info().await.unwrap();
        assert!(info.entries > 0);
        bus.shutdown(Duration::from_secs(5)).await.unwrap();
        drop(node);
        redis.command(&["FLUSHALL"]).await;
    }
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let rules = "shop on >hush-hush ~* &* +@all -xread";
    let redis = Redis::builder().user(rules).start().await;
    let url = redis.url_as("shop", "hush-hush");
    let refusal = refusal(journaled(Bus::builder(&url))).await;
    // The hint is not quoted as if Redis had said it.
    let hint = "` (an administrator can grant it: ACL SETUSER shop +xread)";
    assert!(refusal.ends_with(hint), "{refusal}");
}

#[tokio::test]
async fn a_bus_starts_while_redis_rejects_writes_and_takes_its_durable_name_afterwards() {
    for (setting, rejects, accepts) in
        [("min-replicas-to-write", "1", "0"), ("maxmemory", "1", "0")]
    {
        let redis = Redis::start().await;
        let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
        send(&sender, 1..=1).await;
        redis.command(&["CONFIG", "SET", setting, rejects]).await;

        let journal = Journal::default().durable("billing");
        let durable = Node::start(Bus::builder(&redis.url()).journal(journal)).await;
        let ticks: Collected<u64> = durable.collect("tick");
        redis.command(&["CONFIG", "SET", setting, accepts]).await;
        send(&sender, 2..=2).await;

        has_received(&ticks, 2).await;
    }
}

#[tokio::test]
async fn a_journal_that_has_filled_redis_is_trimmed_after_a_restart_of_all() {
    let redis = Redis::start().await;
    let start = || {
        let journal = Journal::default().durable("billing");
        Node::start(Bus::builder(&redis.url()).journal(journal))
    };
    let before = start().await;
    let payload = vec![7_u64; 20_000];
    for _ in 0..100 {
        before.send_to_all("large", &payload).await.unwrap();
    }
    before.shutdown(SOON).await.unwrap();
    let memory = redis.cli(&["INFO", "memory"]).await;
    let mut lines = memory.lines();
    let used = lines.find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used.unwrap().trim().parse().unwrap();
    // More than one trim removes.
    let limit = (used - (1 << 20)).to_string();
    redis.command(&["CONFIG", "SET", "maxmemory", &limit]).await;

    let after = start().await;

    wait_for("there is room again", SOON, async || {
        after.send_to_all("large", &payload).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_journaled_bus_does_not_start_beside_one_without_a_journal() {
    let redis = Redis::start().await;
    let _plain = Node::start(Bus::builder(&redis.url()).name("old-shop")).await;
    let error = journaled(Bus::builder(&redis.url()))
        .start()
        .await
        .unwrap_err();
    assert!(matches!(error, StartError::JournalUnread { .. }), "{error}");
    assert!(error.to_string().contains("`old-shop`"), "{error}");
}

#[tokio::test]
async fn a_bus_without_a_journal_does_not_start_beside_a_journaled_one() {
    let redis = Redis::start().await;
    let _journaled = Node::start(journaled(Bus::builder(&redis.url()).name("new-shop"))).await;
    let error = Bus::builder(&redis.url()).start().await.unwrap_err();
    assert!(
        matches!(error, StartError::JournalMissing { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("`new-shop`"), "{error}");
}

#[tokio::test]
async fn a_fleet_gets_a_journal_in_two_deployments_and_misses_nothing() {
    let redis = Redis::start().await;
    let follows = || Bus::builder(&redis.url()).journal(Journal::default().follow_only());
    let plain = Node::start(Bus::builder(&redis.url())).await;
    let first = Node::start(follows()).await;
    let of_plain: Collected<u64> = plain.collect("tick");
    let of_first: Collected<u64> = first.collect("tick");
    first.send_to_all("tick", &1_u64).await.unwrap();
    plain.send_to_all("tick", &2_u64).await.unwrap();
    assert_eq!(*of_plain.wait_for_len(2).await[1], 2);
    assert_eq!(*of_first.wait_for_len(2).await[1], 2);
    plain.shutdown(Duration::from_secs(5)).await.unwrap();

    let second = Node::start(journaled(Bus::builder(&redis.url()))).await;
    let of_second: Collected<u64> = second.collect("tick");
    second.send_to_all("tick", &3_u64).await.unwrap();
    first.send_to_all("tick", &4_u64).await.unwrap();
    assert_eq!(*of_first.wait_for_len(4).await[2], 3);
    assert_eq!(of_second.wait_for_len(2).await.len(), 2);
    assert!(first.gaps().all().is_empty());
}

#[tokio::test]
async fn a_bus_without_a_journal_reports_a_journaled_one_that_did_not_see_it_start() {
    let redis = Redis::start().await;
    let plain = Node::start(Bus::builder(&redis.url())).await;
    plain.members().await.unwrap();
    forget_members(&redis, &plain).await;

    let _journaled = Node::start(journaled(Bus::builder(&redis.url()).name("new-shop"))).await;

    let failures = plain.failures();
    let failure = failures
        .wait_for(|one| is_mismatch(one, "`new-shop`"))
        .await;
    assert!(
        tidings::report(&*failure)
            .to_string()
            .contains("would miss their events")
    );
}

#[tokio::test]
async fn a_journaled_bus_reports_one_without_a_journal_that_did_not_see_it_start() {
    let redis = Redis::start().await;
    let journaled = Node::start(journaled(Bus::builder(&redis.url()))).await;
    forget_members(&redis, &journaled).await;

    let _plain = Node::start(Bus::builder(&redis.url()).name("old-shop")).await;

    let failures = journaled.failures();
    failures
        .wait_for(|one| is_mismatch(one, "`old-shop`"))
        .await;
}

#[tokio::test]
async fn a_bus_that_only_follows_adds_nothing_to_the_journal() {
    let redis = Redis::start().await;
    let sender = Bus::builder(&redis.url()).journal(Journal::default());
    let sender = sender.start().await.unwrap();
    sender.send_to_all("tick", &1).await.unwrap();
    sender.shutdown(Duration::from_secs(5)).await.unwrap();
    let length = ["XLEN", "tidings:{default}:journal"];
    let before = redis.cli(&length).await;

    for _ in 0..2 {
        let journal = Journal::default().follow_only();
        let follower = Bus::builder(&redis.url()).journal(journal);
        let follower = follower.start().await.unwrap();
        follower.send_to_all("tick", &2).await.unwrap();
        follower.shutdown(Duration::from_secs(5)).await.unwrap();
    }

    assert_eq!(redis.cli(&length).await, before);
}
