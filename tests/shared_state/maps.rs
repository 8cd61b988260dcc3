//! Maps: shared by all processes, with a local cache in each.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::{
    EntryState, GetOrLoadError, LoadError, MapChange, MapOptions, SendFailure, SharedError,
    SharedMap, StoreError, Unconfirmed,
};
use tidings_testkit::{Node, wait_for};
use tokio::sync::{Barrier, Notify, oneshot};

use crate::place::Place;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) name: String,
}

pub(crate) fn user(name: &str) -> User {
    User {
        name: name.to_owned(),
    }
}

type Users = SharedMap<u64, User>;

pub(crate) fn users(node: &Node) -> Users {
    node.map("users").unwrap()
}

/// Waits until the cached entry is this one, or is not cached.
pub(crate) async fn wait_until_cached(users: &Users, id: u64, name: Option<&str>) {
    wait_for("the cached entry", Duration::from_secs(10), async || {
        users.peek(&id).as_deref().map(|user| &*user.name) == name
    })
    .await;
}

/// The time limit of a fast operation.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(10), what).await;
    done.expect("it did not come in time")
}

/// Returns once `subscriber` has received all notifications of `sender` so far.
pub(crate) async fn hears_all(subscriber: &Node, sender: &Node) {
    let received = subscriber.collect::<_, u32>("all");
    sender.send_to_all("all", &1).await.unwrap();
    received.wait_for_len(1).await;
}

pub(crate) async fn an_entry_has_the_value_that_any_process_set_last(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (here, there) = (users(&a), users(&b));
    assert_eq!(here.get(&7).await.unwrap(), None);

    here.set(&7, &user("Ada")).await.unwrap();
    assert_eq!(*here.get(&7).await.unwrap().unwrap(), user("Ada"));
    assert_eq!(*there.get(&7).await.unwrap().unwrap(), user("Ada"));

    there.remove(&7).await.unwrap();
    assert_eq!(there.get(&7).await.unwrap(), None);
    wait_until_cached(&here, 7, None).await;
    assert_eq!(here.get(&7).await.unwrap(), None);
}

pub(crate) async fn a_change_invalidates_one_cached_entry_and_no_other(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (here, there) = (users(&a), users(&b));
    here.set(&7, &user("Ada")).await.unwrap();
    // In a cluster, notifications come from the node that has the keys, and events from another one.
    let mut last = there.watch(&8);
    here.set(&8, &user("Bob")).await.unwrap();
    soon(last.changed()).await;
    there.get(&7).await.unwrap();
    there.get(&8).await.unwrap();
    there.get(&9).await.unwrap();

    here.set(&7, &user("Eve")).await.unwrap();

    wait_until_cached(&there, 7, None).await;
    assert_eq!(*there.peek(&8).unwrap(), user("Bob"));
    assert_eq!(*there.get(&7).await.unwrap().unwrap(), user("Eve"));
    here.set(&9, &user("Joe")).await.unwrap();
    wait_for("it is there now", Duration::from_secs(10), async || {
        there.get(&9).await.unwrap().is_some()
    })
    .await;
}

pub(crate) async fn a_loader_runs_once_for_concurrent_callers(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (here, runs) = (users(&a), Arc::new(AtomicU32::new(0)));
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (users, runs) = (here.clone(), Arc::clone(&runs));
            tokio::spawn(async move {
                let loading = users.get_or_load(&7, || async {
                    runs.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    Ok::<_, io::Error>(user("Ada"))
                });
                loading.await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(*task.await.unwrap(), user("Ada"));
    }
    assert_eq!(runs.load(Ordering::Relaxed), 1);

    let there = users(&b);
    let found = there.get_or_load(&7, || async { Err(io::Error::other("not asked")) });
    assert_eq!(*found.await.unwrap(), user("Ada"));
}

pub(crate) async fn a_failed_load_is_reported_to_all_callers_and_tried_again(place: Place) {
    let node = place.node().await;
    let (users, runs) = (users(&node), Arc::new(AtomicU32::new(0)));
    let together = Arc::new(Barrier::new(10));
    let all_wait = Arc::new(Notify::new());
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let (users, runs) = (users.clone(), Arc::clone(&runs));
            let (together, all_wait) = (Arc::clone(&together), Arc::clone(&all_wait));
            tokio::spawn(async move {
                let loading = users.get_or_load(&7, || async {
                    runs.fetch_add(1, Ordering::Relaxed);
                    all_wait.notified().await;
                    Err::<User, _>(io::Error::other("the database is away"))
                });
                let mut loading = std::pin::pin!(loading);
                // Each has asked before the loader continues.
                assert!(futures_util::poll!(&mut loading).is_pending());
                together.wait().await;
                all_wait.notify_one();
                loading.await.unwrap_err()
            })
        })
        .collect();
    for task in tasks {
        let error = task.await.unwrap();
        assert!(matches!(&error, GetOrLoadError::Loader { shared, .. } if shared == "users[7]"));
        assert!(
            tidings::report(&error)
                .to_string()
                .contains("the database is away")
        );
    }
    assert_eq!(runs.load(Ordering::Relaxed), 1);

    let again = users.get_or_load(&7, || async { Ok::<_, io::Error>(user("Ada")) });
    assert_eq!(*again.await.unwrap(), user("Ada"));
    assert_eq!(*users.peek(&7).unwrap(), user("Ada"));
}

pub(crate) async fn a_dropped_load_is_replaced_by_another(place: Place) {
    let node = place.node().await;
    let users = users(&node);
    let (started, has_started) = oneshot::channel();
    let dropped = tokio::spawn({
        let users = users.clone();
        async move {
            let loading = users.get_or_load(&7, || async {
                let _ = started.send(());
                std::future::pending::<Result<User, io::Error>>().await
            });
            loading.await.unwrap()
        }
    });
    has_started.await.unwrap();
    let waiting = users.get_or_load(&7, || async { Ok::<_, io::Error>(user("Ada")) });
    let mut waiting = std::pin::pin!(waiting);
    assert!(futures_util::poll!(&mut waiting).is_pending());

    dropped.abort();

    assert_eq!(*soon(waiting).await.unwrap(), user("Ada"));
}

pub(crate) async fn an_invalidation_reaches_every_process(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (here, there) = (users(&a), users(&b));
    here.set(&7, &user("Ada")).await.unwrap();
    hears_all(&b, &a).await;
    there.get(&7).await.unwrap();

    here.invalidate(&7).await.unwrap();

    assert_eq!(here.peek(&7), None);
    wait_until_cached(&there, 7, None).await;
    let loaded = there.get_or_load(&7, || async { Ok::<_, io::Error>(user("Eve")) });
    assert_eq!(*loaded.await.unwrap(), user("Eve"));
}

/// Loads on one node, and runs something else during the load.
async fn load_while(users: &Users, what: impl Future<Output = ()>) -> Arc<User> {
    let (started, has_started) = oneshot::channel();
    let (go_on, goes_on) = oneshot::channel();
    let loading = users.get_or_load(&7, || async {
        let _ = started.send(());
        goes_on.await.unwrap();
        Ok::<_, io::Error>(user("old"))
    });
    let during_load = async {
        has_started.await.unwrap();
        what.await;
        go_on.send(()).unwrap();
    };
    let (loaded, ()) = soon(async { tokio::join!(loading, during_load) }).await;
    loaded.unwrap()
}

pub(crate) async fn an_outdated_load_does_not_restore_an_entry(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (here, there) = (users(&a), users(&b));
    for elsewhere in [&here, &there] {
        let loaded = load_while(&here, async { elsewhere.invalidate(&7).await.unwrap() }).await;

        assert_eq!(*loaded, user("old"));
        assert_eq!(here.get(&7).await.unwrap(), None);
        assert_eq!(there.get(&7).await.unwrap(), None);
    }
    load_while(&here, async { there.clear().await.unwrap() }).await;
    assert!(there.is_empty().await.unwrap());
    assert_eq!(here.get(&7).await.unwrap(), None);
}

pub(crate) async fn a_read_after_an_invalidation_returns_nothing_older(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (here, there) = (users(&a), users(&b));
    let during_load = async {
        there.invalidate(&7).await.unwrap();
        wait_for("a new load begins", Duration::from_secs(10), async || {
            let newer = here.get_or_load(&7, || async { Ok::<_, io::Error>(user("new")) });
            let newer = tokio::time::timeout(Duration::from_millis(50), newer);
            newer.await.is_ok_and(|user| user.unwrap().name == "new")
        })
        .await;
    };
    // An entry that was loaded too early is replaced by the current one.
    assert_eq!(*load_while(&here, during_load).await, user("new"));
    wait_for("others see it", Duration::from_secs(10), async || {
        let user = there.get(&7).await.unwrap();
        user.is_some_and(|user| user.name == "new")
    })
    .await;
}

pub(crate) async fn a_value_set_during_a_load_stays(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (here, there) = (users(&a), users(&b));

    let setting = async { there.set(&7, &user("new")).await.unwrap() };
    assert_eq!(*load_while(&here, setting).await, user("new"));

    assert_eq!(*here.get(&7).await.unwrap().unwrap(), user("new"));
    assert_eq!(*there.get(&7).await.unwrap().unwrap(), user("new"));
}

pub(crate) async fn no_update_is_lost(place: Place) {
    let (a, b) = place.two_nodes().await;
    let tasks: Vec<_> = (0..20)
        .map(|index| {
            let bus = if index % 2 == 0 { a.bus() } else { b.bus() };
            let stock = bus.map::<String, u32>("stock").unwrap();
            tokio::spawn(async move {
                for _ in 0..10 {
                    let apples = "apples".to_owned();
                    let add = |old: Option<&u32>| old.copied().unwrap_or(0) + 1;
                    stock.update(&apples, add).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }

    let stock = a.map::<String, u32>("stock").unwrap();
    assert_eq!(stock.all().await.unwrap()["apples"], Arc::new(200));
}

pub(crate) async fn an_entry_watch_sees_the_newest_value(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (here, there) = (users(&a), users(&b));
    let mut changes = there.watch(&7);

    for index in 1..=100 {
        here.set(&7, &user(&index.to_string())).await.unwrap();
        here.set(&8, &user("Bob")).await.unwrap();
    }

    wait_for(
        "all notifications are received",
        Duration::from_secs(10),
        async || there.get(&7).await.unwrap().unwrap().name == "100",
    )
    .await;
    match soon(changes.changed()).await {
        Some(EntryState::Present(latest)) => assert_eq!(latest.name, "100"),
        other => panic!("{other:?}"),
    }
    here.remove(&7).await.unwrap();
    assert!(matches!(
        soon(changes.changed()).await,
        Some(EntryState::Absent)
    ));
    assert!(futures_util::poll!(std::pin::pin!(changes.changed())).is_pending());
}

pub(crate) async fn a_map_watch_reports_the_changed_entries(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (here, there) = (users(&a), users(&b));
    let (mut near, mut far) = (here.watch_all(), there.watch_all());

    for id in [7, 8, 7, 9, 7] {
        here.set(&id, &user("Ada")).await.unwrap();
    }
    here.clear().await.unwrap();

    for changes in [&mut near, &mut far] {
        // A watcher of all entries needs no notification of one.
        while soon(changes.changed()).await.unwrap() != MapChange::All {}
    }
    there.set(&7, &user("Eve")).await.unwrap();
    assert_eq!(soon(near.changed()).await, Some(MapChange::Entry(7)));
    assert_eq!(soon(far.changed()).await, Some(MapChange::Entry(7)));
}

pub(crate) async fn repeated_changes_of_an_entry_are_reported_once(place: Place) {
    let node = place.node().await;
    let users = users(&node);
    // An entry that was unknown before may be anything.
    users.set(&1, &user("first")).await.unwrap();
    let mut changes = users.watch_all();

    for id in [7, 8, 7, 7, 8] {
        users.set(&id, &user("Ada")).await.unwrap();
    }

    assert_eq!(soon(changes.changed()).await, Some(MapChange::Entry(7)));
    assert_eq!(soon(changes.changed()).await, Some(MapChange::Entry(8)));
    assert!(futures_util::poll!(std::pin::pin!(changes.changed())).is_pending());
}

pub(crate) async fn no_more_entries_are_cached_than_allowed(place: Place) {
    let node = place.node().await;
    let caching = MapOptions::new().capacity(10);
    let users = node.map_with::<u64, User>("users", caching).unwrap();

    for id in 0..50 {
        users.set(&id, &user("Ada")).await.unwrap();
        users.get(&id).await.unwrap();
    }

    let at_hand = (0..50).filter(|id| users.peek(id).is_some()).count();
    assert_eq!(at_hand, 10);
    assert_eq!(users.len().await.unwrap(), 50);
    assert!(users.get(&0).await.unwrap().is_some());
}

pub(crate) async fn a_map_without_a_cache_reads_from_redis(place: Place) {
    let (a, b) = place.two_nodes().await;
    let here = a.map_with::<u64, User>("users", MapOptions::new().capacity(0));
    let (here, there) = (here.unwrap(), users(&b));
    here.set(&7, &user("Ada")).await.unwrap();
    assert_eq!(here.peek(&7), None);
    there.set(&7, &user("Eve")).await.unwrap();
    assert_eq!(*here.get(&7).await.unwrap().unwrap(), user("Eve"));
}

pub(crate) async fn all_entries_can_be_invalidated_at_once(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (here, there) = (users(&a), users(&b));
    for id in 0..3 {
        here.set(&id, &user("Ada")).await.unwrap();
        there.get(&id).await.unwrap();
    }
    hears_all(&b, &a).await;
    there.get(&0).await.unwrap();

    here.clear().await.unwrap();

    assert_eq!(here.get(&0).await.unwrap(), None);
    wait_until_cached(&there, 0, None).await;
    assert_eq!(there.get(&2).await.unwrap(), None);
    assert_eq!(there.all().await.unwrap(), HashMap::new());
}

pub(crate) async fn all_entries_can_be_read(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (here, there) = (users(&a), users(&b));
    for id in 0..1_200 {
        here.set(&id, &user(&id.to_string())).await.unwrap();
    }
    let all = there.all().await.unwrap();
    assert_eq!(all.len(), 1_200);
    assert!(all.iter().all(|(id, user)| user.name == id.to_string()));
    assert_eq!(there.len().await.unwrap(), 1_200);
}

pub(crate) async fn a_map_is_empty_once_its_last_entry_has_expired(place: Place) {
    let node = place.node().await;
    let options = MapOptions::new().ttl(Duration::from_millis(300));
    let brief: Users = node.map_with("users", options).unwrap();
    for id in 0..2 {
        brief.set(&id, &user("Ada")).await.unwrap();
    }

    wait_for("the map is empty", Duration::from_secs(10), async || {
        brief.is_empty().await.unwrap()
    })
    .await;

    assert_eq!(brief.all().await.unwrap(), HashMap::new());
}

pub(crate) async fn an_expired_entry_counts_while_another_one_lives(place: Place) {
    let (a, b) = place.two_nodes().await;
    let options = MapOptions::new().ttl(Duration::from_millis(300));
    let brief: Users = a.map_with("users", options).unwrap();
    let lasting = users(&b);
    lasting.set(&1, &user("Ada")).await.unwrap();
    brief.set(&2, &user("Eve")).await.unwrap();

    wait_for("the entry expires", Duration::from_secs(10), async || {
        lasting.get(&2).await.unwrap().is_none()
    })
    .await;

    assert_eq!(lasting.len().await.unwrap(), 2);
    assert_eq!(lasting.all().await.unwrap().len(), 1);
    lasting.clear().await.unwrap();
    brief.set(&2, &user("Eve")).await.unwrap();
    wait_for("the map is empty", Duration::from_secs(10), async || {
        lasting.is_empty().await.unwrap()
    })
    .await;
}

pub(crate) async fn a_name_has_one_type_and_one_copy(place: Place) {
    let node = place.node().await;
    let first = users(&node);
    first.set(&7, &user("Ada")).await.unwrap();
    assert!(users(&node).peek(&7).is_some());

    let error = node.map::<u64, String>("users").unwrap_err();
    assert!(matches!(error, SharedError::Conflict { .. }), "{error}");

    drop(first);
    wait_for("the name is free", Duration::from_secs(10), async || {
        node.map::<u64, String>("users").is_ok()
    })
    .await;
    for name in ["", "a b", "a*", "a}b"] {
        let error = node.map::<u64, User>(name).unwrap_err();
        assert!(matches!(error, SharedError::Name { .. }), "{name:?}");
    }
}

pub(crate) async fn a_key_that_is_too_long_is_an_error(place: Place) {
    let node = place.node().await;
    let stock = node.map::<String, u32>("stock").unwrap();
    let long = "x".repeat(1_025);

    let error = stock.get(&long).await.unwrap_err();
    assert!(matches!(error, LoadError::Key { .. }), "{error}");
    let error = stock.set(&long, &1).await.unwrap_err();
    assert!(matches!(error, StoreError::Load { .. }), "{error}");
    let error = stock
        .get_or_load(&long, || async { Ok::<_, io::Error>(1) })
        .await;
    assert!(matches!(error, Err(GetOrLoadError::Load(_))));

    for key in [
        "",
        " ",
        "a b",
        "\"ä\n\u{0}",
        "*",
        "x".repeat(1_024).as_str(),
    ] {
        stock.set(&key.to_owned(), &1).await.unwrap();
    }
    assert_eq!(stock.all().await.unwrap().len(), 6);
}

pub(crate) async fn a_bus_that_was_shut_down_shares_nothing(place: Place) {
    let (closed, other) = place.two_nodes().await;
    let here = users(&closed);
    here.set(&7, &user("Ada")).await.unwrap();
    let (mut entry, mut map) = (here.watch(&7), here.watch_all());
    closed.shutdown(Duration::from_secs(5)).await.unwrap();

    let error = here.set(&7, &user("Eve")).await.unwrap_err();
    let StoreError::Unconfirmed { why: result, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(result, Unconfirmed::NotSent(SendFailure::Closed));
    assert!(matches!(
        closed.map::<u64, User>("users"),
        Err(SharedError::Closed)
    ));
    // What was set may be seen before the end.
    while soon(entry.changed()).await.is_some() {}
    while soon(map.changed()).await.is_some() {}
    assert_eq!(*users(&other).get(&7).await.unwrap().unwrap(), user("Ada"));
}
