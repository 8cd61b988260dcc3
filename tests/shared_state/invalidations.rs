//! Maps as a cache of a database: no invalidation is forgotten, and no entry is older than its time
//! to live.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidings::{Bus, Failure, MapChange, MapOptions, SharedMap};
use tidings_testkit::{Direction, Fault, Node, Proxy, Redis, wait_for};
use tokio::sync::oneshot;

use crate::shared_state::maps::{User, hears_all, soon, user, users};
use crate::shared_state::raw_redis::calls;

const SOON: Duration = Duration::from_secs(15);
const ENTRIES: &str = "tidings:{default}:map:users";

type Users = SharedMap<u64, User>;

async fn loaded(users: &Users, id: u64, name: &str) -> Arc<User> {
    let loading = users.get_or_load(&id, || async { Ok::<_, io::Error>(user(name)) });
    soon(loading).await.unwrap()
}

async fn until_taken(users: &Users) {
    wait_for("redis accepts the invalidations", SOON, async || {
        users.pending_invalidations() == Some(0)
    })
    .await;
}

/// Returns two nodes that have cached 7 as Ada.
async fn two_with_ada(redis: &Redis) -> [(Node, Users); 2] {
    let (a, b) = redis.two_nodes().await;
    let (here, there) = (users(&a), users(&b));
    loaded(&here, 7, "Ada").await;
    hears_all(&b, &a).await;
    loaded(&there, 7, "Ada").await;
    [(a, here), (b, there)]
}

#[tokio::test]
async fn an_invalidation_in_an_outage_is_sent_when_redis_is_back() {
    let redis = Redis::start().await;
    let [(a, here), (_b, there)] = two_with_ada(&redis).await;
    redis.cut_off(&a).await;

    soon(here.invalidate(&7)).await.unwrap();

    // This process does not use the entry any more; the others do not know yet.
    assert_eq!(here.get(&7).await.unwrap(), None);
    assert_eq!(loaded(&here, 7, "Eve").await.name, "Eve");
    assert_eq!(there.get(&7).await.unwrap().unwrap().name, "Ada");
    redis.restore(&a).await;
    until_taken(&here).await;
    wait_for("the other process loads again", SOON, async || {
        loaded(&there, 7, "Eve").await.name == "Eve"
    })
    .await;
    assert_eq!(loaded(&here, 7, "Joe").await.name, "Eve");
}

#[tokio::test]
async fn an_invalidation_whose_future_is_dropped_is_still_sent() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let (a, b) = (proxy.node().await, redis.node().await);
    let (here, there) = (users(&a), users(&b));
    loaded(&here, 7, "Ada").await;
    proxy.set(Fault::Drop(Direction::ToServer));

    let dropped = tokio::time::timeout(Duration::from_millis(50), here.invalidate(&7)).await;
    dropped.unwrap_err();

    assert_eq!(here.pending_invalidations(), Some(1));
    proxy.set(Fault::None);
    proxy.reset().await;
    until_taken(&here).await;
    assert_eq!(there.get(&7).await.unwrap(), None);
}

#[tokio::test]
async fn a_rejected_invalidation_is_repeated_until_redis_accepts_it() {
    let redis = Redis::start().await;
    let [(_a, here), (_b, there)] = two_with_ada(&redis).await;
    let refuse = ["CONFIG", "SET", "min-replicas-to-write", "1"];
    redis.command(&refuse).await;
    let mut changes = here.watch_all();

    here.invalidate(&7).await.unwrap();

    assert_eq!(here.pending_invalidations(), Some(1));
    assert_eq!(soon(changes.changed()).await, Some(MapChange::Entry(7)));
    assert_eq!(loaded(&here, 7, "Eve").await.name, "Eve");
    assert!(here.all().await.unwrap().is_empty());
    let allow = ["CONFIG", "SET", "min-replicas-to-write", "0"];
    redis.command(&allow).await;
    until_taken(&here).await;
    wait_for("the other process has it", SOON, async || {
        there.peek(&7).is_none()
    })
    .await;
    assert_eq!(there.get(&7).await.unwrap(), None);
}

#[tokio::test]
async fn a_load_from_before_an_invalidation_in_an_outage_is_not_stored() {
    let redis = Redis::start().await;
    let (a, b) = redis.two_nodes().await;
    let (here, there) = (users(&a), users(&b));
    let (go, may_go) = oneshot::channel();
    let (started, has_started) = oneshot::channel();
    let loading = tokio::spawn({
        let here = here.clone();
        async move {
            let loader = || async {
                started.send(()).unwrap();
                may_go.await.unwrap();
                Ok::<_, io::Error>(user("Ada"))
            };
            here.get_or_load(&7, loader).await.unwrap()
        }
    });
    has_started.await.unwrap();
    let refuse = ["CONFIG", "SET", "min-replicas-to-write", "1"];
    redis.command(&refuse).await;
    here.invalidate(&7).await.unwrap();
    let allow = ["CONFIG", "SET", "min-replicas-to-write", "0"];
    redis.command(&allow).await;

    // The invalidation may or may not have been repeated by now.
    go.send(()).unwrap();

    assert_eq!(soon(loading).await.unwrap().name, "Ada");
    until_taken(&here).await;
    assert_eq!(there.get(&7).await.unwrap(), None);
    assert_eq!(here.get(&7).await.unwrap(), None);
}

#[tokio::test]
async fn a_value_set_after_an_invalidation_stays() {
    let redis = Redis::start().await;
    let [(a, here), (_b, there)] = two_with_ada(&redis).await;
    redis.cut_off(&a).await;
    here.invalidate(&7).await.unwrap();
    redis.restore(&a).await;

    wait_for("it can be set", SOON, async || {
        here.set(&7, &user("Eve")).await.is_ok()
    })
    .await;
    until_taken(&here).await;

    assert_eq!(here.get(&7).await.unwrap().unwrap().name, "Eve");
    wait_for("the other process sees it", SOON, async || {
        there
            .get(&7)
            .await
            .unwrap()
            .is_some_and(|user| user.name == "Eve")
    })
    .await;
}

#[tokio::test]
async fn too_many_invalidations_in_an_outage_invalidate_the_whole_map() {
    let redis = Redis::start().await;
    let [(a, here), (_b, there)] = two_with_ada(&redis).await;
    redis.cut_off(&a).await;
    for id in 1_000..11_000 {
        here.invalidate(&id).await.unwrap();
    }
    assert_eq!(here.pending_invalidations(), Some(10_000));

    here.invalidate(&11_000).await.unwrap();

    assert_eq!(here.pending_invalidations(), None);
    assert_eq!(loaded(&here, 7, "Eve").await.name, "Eve");
    redis.restore(&a).await;
    until_taken(&here).await;
    wait_for("the other process loads again", SOON, async || {
        loaded(&there, 7, "Eve").await.name == "Eve"
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_sends_queued_events_and_reports_those_that_redis_did_not_accept() {
    let redis = Redis::start().await;
    for is_back in [true, false] {
        let node = redis.node().await;
        let users = users(&node);
        loaded(&users, 7, "Ada").await;
        redis.cut_off(&node).await;
        users.invalidate(&7).await.unwrap();
        let failures = node.failures();
        if is_back {
            redis.restore(&node).await;
        }

        let deadline = if is_back {
            SOON
        } else {
            Duration::from_millis(200)
        };
        let _ = node.shutdown(deadline).await;

        let entry = redis.cli(&["HGET", ENTRIES, "7"]).await;
        assert_eq!(entry.is_empty(), is_back, "{entry}");
        if !is_back {
            let is_notified = |failure: &Failure| matches!(failure, Failure::Invalidation { shared, keys: Some(1) } if shared == "users");
            failures.wait_for(|failure| is_notified(failure)).await;
        }
    }
}

#[tokio::test]
async fn a_map_without_handles_is_still_invalidated() {
    let redis = Redis::start().await;
    let [(a, here), (_b, there)] = two_with_ada(&redis).await;
    redis.cut_off(&a).await;
    here.invalidate(&7).await.unwrap();
    drop(here);

    redis.restore(&a).await;

    wait_for("the other process has it", SOON, async || {
        there.get(&7).await.unwrap().is_none()
    })
    .await;
}

fn brief(node: &Node) -> Users {
    let caching = MapOptions::new().ttl(Duration::from_millis(400));
    node.map_with("users", caching).unwrap()
}

#[tokio::test]
async fn no_entry_is_used_after_its_time_to_live_in_any_process() {
    let redis = Redis::start().await;
    let (a, b) = redis.two_nodes().await;
    let (here, there) = (brief(&a), users(&b));
    loaded(&here, 7, "Ada").await;
    here.set(&8, &user("Bob")).await.unwrap();
    hears_all(&b, &a).await;
    for id in [7, 8] {
        assert!(there.get(&id).await.unwrap().is_some());
    }
    // Neither Redis nor a notification takes it from this process.
    redis.cut_off(&b).await;

    wait_for("it is too old", SOON, async || {
        [7, 8]
            .iter()
            .all(|id| here.peek(id).is_none() && there.peek(id).is_none())
    })
    .await;

    assert_eq!(loaded(&here, 7, "Eve").await.name, "Eve");
    assert_eq!(here.get(&8).await.unwrap(), None);
}

#[tokio::test]
async fn a_map_in_redis_expires_with_its_last_entry() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let brief = brief(&node);
    loaded(&brief, 7, "Ada").await;
    wait_for("redis dropped it", SOON, async || {
        redis.cli(&["EXISTS", ENTRIES]).await == "0"
    })
    .await;
    drop(brief);

    let users = users(&node);
    loaded(&users, 7, "Ada").await;
    let left: i64 = redis.cli(&["PTTL", ENTRIES]).await.parse().unwrap();
    assert!((290_000..=300_000).contains(&left), "{left}");
    users.set(&8, &user("Bob")).await.unwrap();
    assert_eq!(redis.cli(&["PTTL", ENTRIES]).await, "-1");
    loaded(&users, 9, "Eve").await;
    assert_eq!(redis.cli(&["PTTL", ENTRIES]).await, "-1");
}

#[tokio::test]
async fn a_database_changed_without_an_invalidation_is_read_again_after_the_time_to_live() {
    let node = Node::start(Bus::builder(&tidings_testkit::memory_url())).await;
    let users = brief(&node);
    assert_eq!(loaded(&users, 7, "Ada").await.name, "Ada");
    assert_eq!(loaded(&users, 7, "Eve").await.name, "Ada");

    wait_for("it is asked again", SOON, async || {
        loaded(&users, 7, "Eve").await.name == "Eve"
    })
    .await;
}

#[tokio::test]
async fn the_absence_of_a_value_is_cached_in_every_process() {
    let redis = Redis::start().await;
    let (a, b) = redis.two_nodes().await;
    let runs = AtomicU32::new(0);
    let caching = MapOptions::new().negative_ttl(Duration::from_millis(600));
    let here: Users = a.map_with("users", caching).unwrap();
    let there: Users = b.map_with("users", caching).unwrap();
    let find = async |users: &Users, found: Option<User>| {
        let loading = users.get_or_load_optional(&7, || async {
            runs.fetch_add(1, Ordering::Relaxed);
            Ok::<_, io::Error>(found)
        });
        loading.await.unwrap()
    };
    for users in [&here, &there, &here, &there] {
        assert_eq!(find(users, None).await, None);
    }
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(here.get(&7).await.unwrap(), None);
    assert!(here.all().await.unwrap().is_empty());
    let before = calls(&redis, "hget").await;
    find(&here, None).await;
    assert_eq!(calls(&redis, "hget").await, before, "it is at hand");

    // It is loaded again after a while, and at once after an invalidation.
    wait_for("it is asked for again", SOON, async || {
        find(&here, None).await;
        runs.load(Ordering::Relaxed) == 2
    })
    .await;
    there.invalidate(&7).await.unwrap();
    wait_for("it is found", SOON, async || {
        find(&here, Some(user("Ada"))).await.is_some()
    })
    .await;

    // A loader that always finds a value has no negative entries.
    there.invalidate(&7).await.unwrap();
    hears_all(&a, &b).await;
    find(&there, None).await;
    assert_eq!(loaded(&there, 7, "Eve").await.name, "Eve");
    wait_for("all have it", SOON, async || {
        find(&here, None)
            .await
            .is_some_and(|user| user.name == "Eve")
    })
    .await;
}
