//! Maps in Redis: their format, foreign writers, and the number of commands.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tidings::{
    Bus, EntryState, Failure, GetOrLoadError, LoadError, MapChange, MapOptions, SendFailure,
    SharedMap, StoreError, Unconfirmed,
};
use tidings_testkit::{Node, Redis, wait_for};

use crate::shared_state::maps::{User, hears_all, soon, user, users, wait_until_cached};
use crate::shared_state::raw_redis::{CHANNEL, announce, calls, checking_often, connected};

const SOON: Duration = Duration::from_secs(10);
const ENTRIES: &str = "tidings:{default}:map:users";
const STAMP: &str = "tidings:{default}:map-stamp:users";
const LOADING: &str = "tidings:{default}:map-leases:users";
const NOTIFICATION: &str = r#"{"event":"tidings.map","data":{"map":"users","key":"7"}}"#;

/// Writes an entry as another program does, with or without a notification.
async fn write_as_foreign(redis: &Redis, entry: impl AsRef<[u8]>, notification: Option<&str>) {
    static NONCES: AtomicU32 = AtomicU32::new(1);
    let nonce = format!("n{}", NONCES.fetch_add(1, Ordering::Relaxed));
    let mut write = redis::pipe();
    write
        .atomic()
        .cmd("HSET")
        .arg(&[ENTRIES, "7"])
        .arg(entry.as_ref())
        .cmd("HDEL")
        .arg(&[LOADING, "7"])
        .cmd("HINCRBY")
        .arg(&[STAMP, "version", "1"])
        .cmd("HSET")
        .arg(&[STAMP, "nonce", &nonce]);
    if let Some(notification) = notification {
        write.cmd("PUBLISH").arg(&[CHANNEL, notification]);
    }
    let mut connection = connected(redis).await;
    write.exec_async(&mut connection).await.unwrap();
}

/// A map in which 7 is Ada.
async fn users_with_ada(node: &Node) -> SharedMap<u64, User> {
    let users = users(node);
    users.set(&7, &user("Ada")).await.unwrap();
    users
}

async fn becomes(users: &SharedMap<u64, User>, name: &str) {
    wait_for("the entry is seen", SOON, async || {
        let user = users.get(&7).await.unwrap();
        user.is_some_and(|user| user.name == name)
    })
    .await;
}

#[tokio::test]
async fn a_map_can_be_read_with_redis_cli() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let users = users_with_ada(&node).await;
    users.set(&8, &user("Bob")).await.unwrap();
    users.set(&7, &user("Eve")).await.unwrap();

    let entry = redis.cli(&["HGET", ENTRIES, "7"]).await;
    let nonce = redis.cli(&["HGET", STAMP, "nonce"]).await;
    let version = redis.cli(&["HGET", STAMP, "version"]).await;

    assert_eq!(entry, format!(r#"json 2 {nonce} {{"name":"Eve"}}"#));
    assert_eq!(version, "3");
    assert_eq!(nonce.len(), 16);
}

#[tokio::test]
async fn a_cached_entry_needs_no_read_and_concurrent_callers_need_one() {
    let redis = Redis::start().await;
    let (a, b) = redis.two_nodes().await;
    users(&a).set(&7, &user("Ada")).await.unwrap();
    let users = users(&b);
    hears_all(&b, &a).await;
    let before = calls(&redis, "hget").await;

    let all = join_all((0..100).map(|_| users.get(&7))).await;
    assert!(
        all.into_iter()
            .all(|user| user.unwrap().unwrap().name == "Ada")
    );
    assert_eq!(calls(&redis, "hget").await, before + 1);

    for _ in 0..100 {
        users.get(&7).await.unwrap();
    }
    assert_eq!(calls(&redis, "hget").await, before + 1);
}

#[tokio::test]
async fn a_write_of_another_program_is_seen_at_once() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let users = users_with_ada(&node).await;
    let mut changes = users.watch(&7);

    let entry = r#"json 1 5b1f09c2aa7e4d13 {"name":"Eve"}"#;
    write_as_foreign(&redis, entry, Some(NOTIFICATION)).await;

    becomes(&users, "Eve").await;
    match soon(changes.changed()).await.unwrap() {
        EntryState::Present(latest) => assert_eq!(*latest, user("Eve")),
        other => panic!("{other:?}"),
    }
    let newer = users.update(&7, |old| user(&format!("{} II", old.unwrap().name)));
    assert_eq!(newer.await.unwrap().name, "Eve II");
}

#[tokio::test]
async fn a_foreign_program_may_notify_of_a_change_of_all_entries() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let users = users_with_ada(&node).await;
    let mut changes = users.watch_all();

    let all = r#"{"event":"tidings.map","data":{"map":"users"}}"#;
    write_as_foreign(&redis, r#"json 1 5b1f {"name":"Eve"}"#, Some(all)).await;

    assert_eq!(soon(changes.changed()).await, Some(MapChange::All));
    becomes(&users, "Eve").await;
}

#[tokio::test]
async fn an_unreadable_notification_is_reported_and_changes_nothing() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let users = users_with_ada(&node).await;

    for notification in [
        r#"{"event":"tidings.map","data":7}"#,
        r#"{"event":"tidings.map","data":{"map":"users","key":7}}"#,
        r#"{"event":"tidings.map","data":{"map":"others","key":"7"}}"#,
        r#"{"event":"tidings.map","data":{"map":"users","key":"seven"}}"#,
    ] {
        announce(&redis, notification).await;
    }

    node.failures().wait_for_len(2).await;
    assert_eq!(users.get(&7).await.unwrap().unwrap().name, "Ada");
    assert_eq!(node.failures().all().len(), 2);
}

#[tokio::test]
async fn a_change_without_a_notification_is_found_by_the_periodic_comparison() {
    let redis = Redis::start().await;
    let node = checking_often(&redis).await;
    let users = users_with_ada(&node).await;
    let mut changes = users.watch(&7);

    write_as_foreign(&redis, r#"json 1 5b1f {"name":"Eve"}"#, None).await;

    let found = soon(changes.changed()).await;
    assert!(matches!(found, Some(EntryState::Present(latest)) if latest.name == "Eve"));
    assert_eq!(users.get(&7).await.unwrap().unwrap().name, "Eve");
}

#[tokio::test]
async fn changes_during_a_disconnect_are_seen_and_unchanged_entries_stay_cached() {
    let redis = Redis::start().await;
    let (a, b) = redis.two_nodes().await;
    let (here, there) = (users(&a), users(&b));
    here.set(&7, &user("Ada")).await.unwrap();
    hears_all(&b, &a).await;
    there.get(&7).await.unwrap();

    redis.cut_off(&b).await;
    wait_for("it is known to be stale", SOON, async || {
        there.stale_since().is_some()
    })
    .await;
    assert_eq!(there.get(&7).await.unwrap().unwrap().name, "Ada");
    redis.restore(&b).await;
    wait_for("it is compared", SOON, async || {
        there.stale_since().is_none()
    })
    .await;
    assert_eq!(there.peek(&7).unwrap().name, "Ada");

    let mut changes = there.watch(&7);
    redis.cut_off(&b).await;
    here.set(&7, &user("Eve")).await.unwrap();
    redis.restore(&b).await;
    assert!(
        matches!(soon(changes.changed()).await, Some(EntryState::Present(latest)) if latest.name == "Eve")
    );
    assert_eq!(there.get(&7).await.unwrap().unwrap().name, "Eve");
}

#[tokio::test]
async fn while_redis_is_unreachable_only_cached_entries_are_served() {
    let mut redis = Redis::start().await;
    let node = Node::start(Bus::builder(&redis.url())).await;
    let users = users_with_ada(&node).await;
    assert_eq!(users.stale_since(), None);
    let mut changes = users.watch(&8);

    redis.kill();
    wait_for("it is known to be stale", SOON, async || {
        users.stale_since().is_some()
    })
    .await;

    assert_eq!(users.get(&7).await.unwrap().unwrap().name, "Ada");
    let unread = users.get(&8).await.unwrap_err();
    assert!(matches!(
        unread,
        LoadError::Unread {
            reason: SendFailure::Unreachable,
            ..
        }
    ));
    let set = users.set(&7, &user("Eve")).await.unwrap_err();
    let updated = users.update(&8, |_| user("Eve")).await.unwrap_err();
    for error in [set, updated] {
        let StoreError::Unconfirmed { why: result, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(result, Unconfirmed::NotSent(SendFailure::Unreachable));
    }
    let loaded = users.get_or_load(&8, || async { Ok::<_, io::Error>(user("Bob")) });
    assert_eq!(loaded.await.unwrap().name, "Bob");
    assert_eq!(users.peek(&8), None);

    // It comes back without its data, and that is detected.
    redis.start_again().await;
    wait_until_cached(&users, 7, None).await;
    wait_for("it accepts changes", SOON, async || {
        users.set(&8, &user("Joe")).await.is_ok()
    })
    .await;
    assert!(
        matches!(soon(changes.changed()).await, Some(EntryState::Present(latest)) if latest.name == "Joe")
    );
    assert_eq!(users.get(&7).await.unwrap(), None);
}

#[tokio::test]
async fn an_unreadable_entry_affects_no_other() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let users = users(&node);
    users.set(&8, &user("Bob")).await.unwrap();
    let hostile = [&b"msgpack 1 5b1f "[..], &[0x91; 600]].concat();
    let yaml = br#"yaml 1 5b1f {"name":"Ada"}"#;
    for spoiled in [&b""[..], b"Ada", b"json 1 5b1f 7", yaml, &hostile] {
        write_as_foreign(&redis, spoiled, Some(NOTIFICATION)).await;
        wait_for("it is seen", SOON, async || users.get(&7).await.is_err()).await;

        let asked = users.get(&7).await.unwrap_err();
        assert!(!matches!(asked, LoadError::Unread { .. }), "{asked}");
        assert!(users.update(&7, |_| user("Eve")).await.is_err());
        let loaded = users.get_or_load(&7, || async { Ok::<_, io::Error>(user("Eve")) });
        assert!(matches!(loaded.await, Err(GetOrLoadError::Load(_))));
        assert_eq!(users.get(&8).await.unwrap().unwrap().name, "Bob");
        let all = users.all().await.unwrap();
        assert!(all.len() == 1 && all.contains_key(&8));

        users.set(&7, &user("Ada")).await.unwrap();
        becomes(&users, "Ada").await;
    }
    let reported = node.failures().wait_for_len(5).await;
    assert_eq!(reported.len(), 5);
    for failure in reported {
        assert!(matches!(&*failure, Failure::Shared { shared, .. } if shared == "users[7]"));
    }
}

#[tokio::test]
async fn an_invalid_field_is_reported_and_left_out() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let users = users(&node);
    users.set(&8, &user("Bob")).await.unwrap();
    for field in ["seven", "007", ""] {
        redis
            .command(&["HSET", ENTRIES, field, "json 1 5b1f {}"])
            .await;
    }

    for _ in 0..2 {
        assert_eq!(users.all().await.unwrap().len(), 1);
    }

    let reported = node.failures().wait_for_len(3).await;
    assert_eq!(reported.len(), 3);
    let text = tidings::report(&*reported[0]).to_string();
    assert!(text.contains("it is not written as a u64 is"), "{text}");
}

#[tokio::test]
async fn foreign_data_under_a_key_is_an_error_until_the_map_is_cleared() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let users = users(&node);
    redis.command(&["SET", ENTRIES, "something else"]).await;

    let read = users.get(&7).await.unwrap_err();
    assert!(matches!(read, LoadError::Foreign { .. }), "{read}");
    let written = users.set(&7, &user("Ada")).await.unwrap_err();
    assert!(matches!(written, StoreError::Load { .. }), "{written}");
    assert!(!written.is_unknown());
    assert!(users.remove(&7).await.is_err());
    assert!(users.all().await.is_err());
    assert!(users.len().await.is_err());

    users.clear().await.unwrap();
    users.set(&7, &user("Ada")).await.unwrap();
    assert_eq!(users.len().await.unwrap(), 1);
}

#[tokio::test]
async fn a_full_redis_accepts_no_entry_and_allows_a_removal() {
    let redis = Redis::start().await;
    let (a, b) = redis.two_nodes().await;
    let (here, there) = (users(&a), users(&b));
    here.set(&7, &user("Ada")).await.unwrap();
    hears_all(&b, &a).await;
    there.get(&7).await.unwrap();
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await;

    let full = here.set(&7, &user("Eve")).await.unwrap_err();
    assert!(!full.is_unknown());
    assert!(full.to_string().contains("OOM"), "{full}");
    assert_eq!(here.get(&7).await.unwrap().unwrap().name, "Ada");
    let loaded = here.get_or_load(&8, || async { Ok::<_, io::Error>(user("Bob")) });
    assert_eq!(loaded.await.unwrap().name, "Bob");

    here.invalidate(&7).await.unwrap();
    wait_until_cached(&there, 7, None).await;
    assert_eq!(there.get(&7).await.unwrap(), None);
}

#[tokio::test]
async fn a_redis_that_rejects_writes_is_named_in_the_error() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let users = users_with_ada(&node).await;
    redis
        .command(&["CONFIG", "SET", "min-replicas-to-write", "1"])
        .await;

    for refused in [
        users.set(&7, &user("Eve")).await,
        users.remove(&7).await,
        users.clear().await,
    ] {
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("NOREPLICAS"), "{refused}");
    }
    let loaded = users.get_or_load(&8, || async { Ok::<_, io::Error>(user("Bob")) });
    assert_eq!(loaded.await.unwrap().name, "Bob");
    assert_eq!(redis.cli(&["HGET", STAMP, "version"]).await, "1");
    assert_eq!(users.get(&7).await.unwrap().unwrap().name, "Ada");
}

#[tokio::test]
async fn a_map_deleted_by_another_program_is_detected() {
    let redis = Redis::start().await;
    let node = checking_often(&redis).await;
    let users = users_with_ada(&node).await;
    let mut changes = users.watch(&7);

    redis.command(&["DEL", ENTRIES, STAMP]).await;

    assert!(matches!(
        soon(changes.changed()).await,
        Some(EntryState::Absent)
    ));
    assert_eq!(users.get(&7).await.unwrap(), None);
}

#[tokio::test]
async fn the_deletion_of_the_entries_alone_is_detected() {
    let redis = Redis::start().await;
    let node = checking_often(&redis).await;
    let users = users_with_ada(&node).await;
    let mut changes = users.watch(&7);

    redis.command(&["DEL", ENTRIES]).await;

    assert!(matches!(
        soon(changes.changed()).await,
        Some(EntryState::Absent)
    ));
    assert_eq!(users.get(&7).await.unwrap(), None);
    assert_eq!(users.stale_since(), None);
}

#[tokio::test]
async fn a_write_after_the_deletion_of_the_entries_does_not_hide_it() {
    let redis = Redis::start().await;
    let (a, b) = redis.two_nodes().await;
    let (here, there) = (users_with_ada(&a).await, users(&b));
    hears_all(&b, &a).await;
    there.get(&7).await.unwrap();

    redis.command(&["DEL", ENTRIES]).await;
    here.set(&8, &user("Bob")).await.unwrap();

    // Long before the next comparison.
    for users in [&here, &there] {
        wait_until_cached(users, 7, None).await;
        assert_eq!(users.get(&7).await.unwrap(), None);
        assert_eq!(users.get(&8).await.unwrap().unwrap().name, "Bob");
    }
}

#[tokio::test]
async fn the_end_of_the_last_entry_is_no_loss() {
    let redis = Redis::start().await;
    let node = checking_often(&redis).await;
    let brief = MapOptions::new().ttl(Duration::from_millis(1_500));
    let users: SharedMap<u64, User> = node.map_with("users", brief).unwrap();
    let mut changes = users.watch_all();
    let set = async |key| {
        users.set(&key, &user("Ada")).await.unwrap();
        key
    };

    let removed = set(7).await;
    assert_eq!(
        soon(changes.changed()).await,
        Some(MapChange::Entry(removed))
    );
    users.remove(&removed).await.unwrap();
    assert_eq!(
        soon(changes.changed()).await,
        Some(MapChange::Entry(removed))
    );
    let cleared = set(8).await;
    assert_eq!(
        soon(changes.changed()).await,
        Some(MapChange::Entry(cleared))
    );
    users.clear().await.unwrap();
    assert_eq!(soon(changes.changed()).await, Some(MapChange::All));
    let expired = set(9).await;
    assert_eq!(
        soon(changes.changed()).await,
        Some(MapChange::Entry(expired))
    );
    wait_for("the entries expire", SOON, async || {
        redis.cli(&["EXISTS", ENTRIES]).await == "0"
    })
    .await;
    let checks = calls(&redis, "hmget").await;
    wait_for("the map is compared twice", SOON, async || {
        calls(&redis, "hmget").await >= checks + 2
    })
    .await;
    let last = set(10).await;

    assert_eq!(soon(changes.changed()).await, Some(MapChange::Entry(last)));
}

#[tokio::test]
async fn the_locks_of_loaders_expire_by_themselves() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let users = users(&node);

    let loaded = users.get_or_load(&8, || async { Ok::<_, io::Error>(user("Bob")) });
    loaded.await.unwrap();
    assert_eq!(redis.cli(&["EXISTS", LOADING]).await, "0");

    let fail = async |key| {
        let failed = users.get_or_load(&key, || async { Err::<User, _>(io::Error::other("gone")) });
        failed.await.unwrap_err();
    };
    fail(7).await;
    redis.command(&["EXPIRE", LOADING, "1000"]).await;
    fail(9).await;

    // A later entry does not extend the time to live of the others.
    let left: i64 = redis::from_redis_value(redis.command(&["TTL", LOADING]).await).unwrap();
    assert!((1..=1_000).contains(&left), "{left}");
}

#[tokio::test]
async fn expired_entries_are_removed_by_the_writes_of_others() {
    let redis = Redis::start().await;
    let (a, b) = redis.two_nodes().await;
    let lasting = users_with_ada(&a).await;
    let brief = MapOptions::new().ttl(Duration::from_millis(1));
    let expiring: SharedMap<u64, User> = b.map_with("users", brief).unwrap();

    for key in 1_000..1_300 {
        expiring.set(&key, &user("Bob")).await.unwrap();
    }

    let left: u64 = redis.cli(&["HLEN", ENTRIES]).await.parse().unwrap();
    assert!(left < 100, "{left} entries");
    assert!(lasting.get(&7).await.unwrap().is_some());
}

#[tokio::test]
async fn a_failed_load_removes_no_entry_of_other_processes() {
    let redis = Redis::start().await;
    let (a, b) = redis.two_nodes().await;
    let (here, there) = (users(&a), users(&b));
    let (run, runs) = tokio::sync::oneshot::channel();
    let (go, may_go) = tokio::sync::oneshot::channel();

    let loading = tokio::spawn(async move {
        let loader = || async {
            run.send(()).unwrap();
            may_go.await.unwrap();
            Ok::<_, io::Error>(user("Ada"))
        };
        here.get_or_load(&7, loader).await
    });
    runs.await.unwrap();
    let failed = there.get_or_load(&7, || async { Err::<User, _>(io::Error::other("gone")) });
    failed.await.unwrap_err();
    go.send(()).unwrap();
    loading.await.unwrap().unwrap();

    assert!(redis.cli(&["HGET", ENTRIES, "7"]).await.contains("Ada"));
}

#[tokio::test]
async fn an_invalid_stamp_is_reported_and_leaves_nothing_cached() {
    let redis = Redis::start().await;
    let node = checking_often(&redis).await;
    let users = users_with_ada(&node).await;
    for stamp in [
        &["SET", STAMP, "x"][..],
        &["HSET", STAMP, "version", "x", "nonce", "a"],
    ] {
        redis.command(&["DEL", STAMP]).await;
        redis.command(stamp).await;

        wait_for("it is known", SOON, async || users.stale_since().is_some()).await;

        assert_eq!(users.peek(&7), None);
        assert!(users.get(&7).await.is_err());
        let refused = users.set(&7, &user("Eve")).await.unwrap_err();
        assert!(!refused.is_unknown(), "{refused}");
        redis.command(&["DEL", STAMP]).await;
        wait_for("it is good", SOON, async || users.stale_since().is_none()).await;
        assert_eq!(users.get(&7).await.unwrap().unwrap().name, "Ada");
    }
}

#[tokio::test]
async fn a_short_timeout_does_not_make_a_map_stale() {
    let redis = Redis::start().await;
    let node = redis
        .node_with(|builder| {
            let often = builder.refresh_interval(Duration::from_secs(1));
            often.send_timeout(Duration::from_millis(80))
        })
        .await;
    let users = users_with_ada(&node).await;
    let mut changes = users.watch(&7);

    write_as_foreign(&redis, r#"json 1 5b1f {"name":"Eve"}"#, None).await;

    let found = soon(changes.changed()).await;
    assert!(matches!(found, Some(EntryState::Present(latest)) if latest.name == "Eve"));
}
