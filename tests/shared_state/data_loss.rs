//! Shared values that Redis lost, by the policy of the value.

use std::time::Duration;

use tidings::{Bus, Failure, Freshness, Shared, SharedOptions, WhenLost};
use tidings_testkit::{Node, Redis, wait_for};

use crate::shared_state::maps::hears_all;
use crate::shared_state::raw_redis::{KEY, checking_often};

const SOON: Duration = Duration::from_secs(15);

/// A node without its own ACL user, which a restarted Redis would not know.
async fn restarting(redis: &Redis) -> Node {
    Node::start(Bus::builder(&redis.url())).await
}

fn limit(node: &Node, policy: WhenLost) -> Shared<u64> {
    let sharing = SharedOptions::new().when_lost(policy);
    node.shared_with("limit", sharing).unwrap()
}

fn retained(node: &Node) -> Shared<u64> {
    node.shared("limit").unwrap()
}

fn value(shared: &Shared<u64>) -> Option<u64> {
    shared.peek()?.value().map(|value| **value)
}

fn is_lost(shared: &Shared<u64>) -> bool {
    let known = shared.peek().unwrap();
    let is_lost = matches!(known.freshness(), Freshness::Lost { .. });
    assert!(!is_lost || known.stale_since().is_some());
    is_lost
}

async fn until_lost(shared: &Shared<u64>) {
    wait_for("the loss is detected", SOON, async || is_lost(shared)).await;
}

async fn becomes(shared: &Shared<u64>, wanted: Option<u64>) {
    wait_for("the copy follows", SOON, async || {
        let is_fresh = shared.peek().unwrap().freshness() == Freshness::Fresh;
        is_fresh && value(shared) == wanted
    })
    .await;
}

#[tokio::test]
async fn an_empty_restart_of_redis_removes_no_value_from_any_process() {
    let mut redis = Redis::start().await;
    let (a, b) = (restarting(&redis).await, restarting(&redis).await);
    let (here, there) = (retained(&a), retained(&b));
    here.set(&7).await.unwrap();
    there.get().await.unwrap();
    let mut changes = there.watch();

    redis.restart().await;

    for shared in [&here, &there] {
        until_lost(shared).await;
        let known = shared.get().await.unwrap();
        assert_eq!(known.value().map(|value| **value), Some(7));
    }
    let reported = changes.changed().await.unwrap();
    assert!(matches!(reported.freshness(), Freshness::Lost { .. }));
    here.set(&8).await.unwrap();
    becomes(&here, Some(8)).await;
    becomes(&there, Some(8)).await;
}

#[tokio::test]
async fn a_value_missing_in_redis_is_lost_for_any_reason() {
    let redis = Redis::start().await;
    let node = checking_often(&redis).await;
    let limit = retained(&node);
    for (written, words) in (1..).zip([
        &["FLUSHALL"][..],
        &["FLUSHDB"],
        &["DEL", KEY],
        &["UNLINK", KEY],
        &["PEXPIRE", KEY, "1"],
    ]) {
        limit.set(&written).await.unwrap();
        assert!(!is_lost(&limit));

        redis.command(words).await;

        until_lost(&limit).await;
        assert_eq!(value(&limit), Some(written), "{words:?}");
    }
}

#[tokio::test]
async fn a_redis_that_evicts_any_key_loses_values() {
    let redis = Redis::start().await;
    let node = checking_often(&redis).await;
    let limit = retained(&node);
    limit.set(&7).await.unwrap();
    let evict = ["CONFIG", "SET", "maxmemory-policy", "allkeys-random"];
    redis.command(&evict).await;

    redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let _ = redis.try_command(&["SET", "filler", "x"]).await;

    until_lost(&limit).await;
    assert_eq!(value(&limit), Some(7));
}

#[tokio::test]
async fn a_full_redis_without_eviction_rejects_writes_and_loses_nothing() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let limit = retained(&node);
    limit.set(&7).await.unwrap();

    redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let refused = limit.set(&8).await.unwrap_err();

    assert!(refused.to_string().contains("OOM"), "{refused}");
    let known = limit.refresh().await.unwrap();
    assert_eq!(known.freshness(), Freshness::Fresh);
    assert_eq!(known.value().map(|value| **value), Some(7));
}

#[tokio::test]
async fn a_redis_that_persists_loses_nothing_when_it_restarts() {
    let redis = Redis::builder()
        .config("appendonly", "yes")
        .config("appendfsync", "always");
    let mut redis = redis.start().await;
    let node = restarting(&redis).await;
    let limit = retained(&node);
    limit.set(&7).await.unwrap();

    redis.restart().await;

    wait_for("it is read again", SOON, async || {
        limit.refresh().await.is_ok()
    })
    .await;
    becomes(&limit, Some(7)).await;
    assert_eq!(limit.refresh().await.unwrap().version(), 1);
}

#[tokio::test]
async fn an_update_of_a_lost_value_continues_from_the_last_copy() {
    let redis = Redis::start().await;
    let node = checking_often(&redis).await;
    let limit = retained(&node);
    limit.set(&7).await.unwrap();
    redis.command(&["FLUSHALL"]).await;

    // The loss is detected before the update or by it.
    let updated = limit.update(|old| old.copied().unwrap_or(0) + 1).await;

    let updated = updated.unwrap();
    assert_eq!(updated.value().map(|value| **value), Some(8));
    assert_eq!(
        (updated.freshness(), updated.version()),
        (Freshness::Fresh, 2)
    );
}

#[tokio::test]
async fn an_expired_value_is_not_lost() {
    let redis = Redis::start().await;
    let (a, b) = (checking_often(&redis).await, checking_often(&redis).await);
    let sharing = || {
        SharedOptions::new()
            .ttl(Duration::from_millis(300))
            .inline_up_to(100)
    };
    let here = a.shared_with::<u64>("limit", sharing()).unwrap();
    let there = retained(&b);
    there.get().await.unwrap();

    here.set(&7).await.unwrap();

    becomes(&here, None).await;
    becomes(&there, None).await;
}

#[tokio::test]
async fn a_lost_value_is_absent_with_that_policy() {
    let redis = Redis::start().await;
    let node = checking_often(&redis).await;
    let limit = limit(&node, WhenLost::Clear);
    limit.set(&7).await.unwrap();
    let mut changes = limit.watch();

    redis.command(&["FLUSHALL"]).await;

    let reported = changes.changed().await.unwrap();
    assert!(reported.value().is_none());
    assert!(matches!(reported.freshness(), Freshness::Lost { .. }));
    let updated = limit
        .update(|old| old.copied().unwrap_or(0) + 1)
        .await
        .unwrap();
    assert_eq!(updated.value().map(|value| **value), Some(1));
}

/// Returns two nodes with their copies: the second one is cut off and has 1, the first one has 2.
async fn apart(redis: &Redis, policy: WhenLost) -> [(Node, Shared<u64>); 2] {
    let (a, b) = (checking_often(redis).await, checking_often(redis).await);
    let (here, there) = (limit(&a, policy), limit(&b, policy));
    here.set(&0).await.unwrap();
    here.set(&1).await.unwrap();
    there.get().await.unwrap();
    becomes(&there, Some(1)).await;
    redis.cut_off(&b).await;
    here.set(&2).await.unwrap();
    [(a, here), (b, there)]
}

/// Returns the version of each lost value that was reported, and the version that Redis had then.
fn lost(node: &Node) -> Vec<(u64, Option<u64>)> {
    let failures = node.failures().all();
    let lost = failures.iter().filter_map(|failure| match &**failure {
        Failure::ValueLost { version, found, .. } => Some((*version, *found)),
        _ => None,
    });
    lost.collect()
}

#[tokio::test]
async fn a_lost_change_is_reported_to_each_process_that_saw_it() {
    let redis = Redis::start().await;
    let [(a, here), (b, there)] = apart(&redis, WhenLost::Keep).await;
    redis.cut_off(&a).await;
    redis.command(&["FLUSHALL"]).await;

    redis.restore(&b).await;
    until_lost(&there).await;
    there.set(&9).await.unwrap();
    redis.restore(&a).await;
    becomes(&here, Some(9)).await;

    let is_lost = |failure: &Failure| matches!(failure, Failure::ValueLost { .. });
    a.failures().wait_for(is_lost).await;
    assert_eq!(lost(&a), [(3, Some(3))]);
    assert_eq!(lost(&b), [(2, None)]);
}

#[tokio::test]
async fn a_write_that_finds_the_loss_reports_it_once() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let limit = retained(&node);
    let lose = async || {
        // No refresh is under way that would find the loss.
        hears_all(&node, &node).await;
        limit.refresh().await.unwrap();
        redis.command(&["FLUSHALL"]).await;
    };
    limit.set(&7).await.unwrap();

    lose().await;
    let updated = limit.update(|old| old.copied().unwrap_or(0) + 1).await;
    assert_eq!(updated.unwrap().value().map(|value| **value), Some(8));
    lose().await;
    limit.set(&9).await.unwrap();
    lose().await;
    limit.clear().await.unwrap();

    limit.refresh().await.unwrap();
    node.failures().wait_for_len(3).await;
    assert_eq!(lost(&node), [(1, None), (2, None), (3, None)]);
}

#[tokio::test]
async fn a_lost_value_is_restored_for_processes_that_never_had_it() {
    let mut redis = Redis::start().await;
    let node = restarting(&redis).await;
    let here = limit(&node, WhenLost::Restore);
    here.set(&6).await.unwrap();
    here.set(&7).await.unwrap();

    redis.restart().await;

    becomes(&here, Some(7)).await;
    let late = restarting(&redis).await;
    let read = retained(&late).refresh().await.unwrap();
    assert_eq!(read.value().map(|value| **value), Some(7));
    assert_eq!(read.version(), 2);
}

#[tokio::test]
async fn the_newest_copy_is_restored_in_any_order() {
    let redis = Redis::start().await;
    let [(a, here), (b, there)] = apart(&redis, WhenLost::Restore).await;
    redis.cut_off(&a).await;
    redis.command(&["FLUSHALL"]).await;

    // The older copy comes first.
    redis.restore(&b).await;
    becomes(&there, Some(1)).await;
    redis.restore(&a).await;

    becomes(&here, Some(2)).await;
    becomes(&there, Some(2)).await;

    // Then the newer one, and a later write on top of it stays.
    redis.command(&["FLUSHALL"]).await;
    becomes(&here, Some(2)).await;
    becomes(&there, Some(2)).await;
    there.set(&3).await.unwrap();
    here.refresh().await.unwrap();
    becomes(&here, Some(3)).await;
}

#[tokio::test]
async fn a_value_set_after_the_loss_is_not_overwritten_by_an_older_copy() {
    let redis = Redis::start().await;
    let [(a, _), (b, there)] = apart(&redis, WhenLost::Restore).await;
    a.shutdown(SOON).await.unwrap();
    redis.command(&["FLUSHALL"]).await;
    let late = checking_often(&redis).await;
    let new = limit(&late, WhenLost::Restore);
    new.set(&9).await.unwrap();

    redis.restore(&b).await;

    becomes(&there, Some(9)).await;
    becomes(&new, Some(9)).await;
}

#[tokio::test]
async fn a_cleared_value_is_not_restored() {
    let redis = Redis::start().await;
    let [(a, here), (b, there)] = apart(&redis, WhenLost::Restore).await;
    here.clear().await.unwrap();
    redis.cut_off(&a).await;
    redis.command(&["FLUSHALL"]).await;

    // The process that does not know of it comes first.
    redis.restore(&b).await;
    becomes(&there, Some(1)).await;
    redis.restore(&a).await;

    becomes(&here, None).await;
    becomes(&there, None).await;

    // Where Redis knows the value, nothing is written.
    redis.cut_off(&b).await;
    here.set(&5).await.unwrap();
    here.clear().await.unwrap();
    redis.restore(&b).await;
    there.refresh().await.ok();
    becomes(&there, None).await;
    becomes(&here, None).await;
}

#[tokio::test]
async fn a_counter_begins_at_zero_after_a_loss() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let visits = node.counter("visits").unwrap();
    visits.add(7).await.unwrap();

    redis.command(&["FLUSHALL"]).await;

    assert_eq!(visits.get().await.unwrap(), 0);
}
