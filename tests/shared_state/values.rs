//! Shared values: every process has a copy, and each copy becomes the last value written.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::{Format, Shared, SharedError, SharedOptions, Snapshot, StoreError};
use tidings_testkit::{Node, wait_for};
use tokio::task::JoinHandle;

use crate::place::Place;

const SOON: Duration = Duration::from_secs(10);

fn value<T: Clone>(snapshot: &Snapshot<T>) -> Option<T> {
    snapshot.value().map(|value| T::clone(value))
}

async fn becomes(shared: &Shared<u64>, wanted: Option<u64>) {
    wait_for("the copy follows", SOON, async || {
        value(&shared.get().await.unwrap()) == wanted
    })
    .await;
}

fn limit(node: &Node) -> Shared<u64> {
    node.shared("limit").unwrap()
}

pub(crate) async fn every_process_sees_a_value_that_one_sets(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (here, there) = (limit(&a), limit(&b));
    assert_eq!(value(&there.get().await.unwrap()), None);

    let written = here.set(&100).await.unwrap();

    assert_eq!((value(&written), written.version()), (Some(100), 1));
    assert_eq!(value(&here.get().await.unwrap()), Some(100));
    becomes(&there, Some(100)).await;
    assert_eq!(there.get().await.unwrap().version(), 1);
}

pub(crate) async fn a_value_is_replaced_only_if_it_is_the_expected_one(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (here, there) = (limit(&a), limit(&b));
    let shown = here.set(&1).await.unwrap();
    becomes(&there, Some(1)).await;

    let written = there.compare_and_set(&shown, &2).await.unwrap().unwrap();
    let found = here.compare_and_set(&shown, &3).await.unwrap().unwrap_err();

    assert_eq!((value(&written), written.version()), (Some(2), 2));
    assert_eq!((value(&found), found.version()), (Some(2), 2));
    becomes(&here, Some(2)).await;
}

pub(crate) async fn an_update_replaced_within_its_batch_is_never_the_expected_value(place: Place) {
    let node = place.node().await;
    let limit = limit(&node);
    let add = |number| limit.update(move |old| old.copied().unwrap_or(0) + number);
    let (first, last) = tokio::join!(add(1), add(10));
    let (first, last) = (first.unwrap(), last.unwrap());
    assert_eq!((value(&first), value(&last)), (Some(1), Some(11)));

    // They are one batch, unless another thread writes the first before the second comes.
    let found = limit.compare_and_set(&first, &2).await.unwrap();
    assert_eq!(value(&found.unwrap_err()), Some(11));
    limit.compare_and_set(&last, &12).await.unwrap().unwrap();
    assert_eq!(value(&limit.get().await.unwrap()), Some(12));
}

pub(crate) async fn a_value_that_was_never_set_is_absent(place: Place) {
    let node = place.node().await;
    let limit = limit(&node);

    assert!(limit.peek().is_none());
    let snapshot = limit.get().await.unwrap();

    assert_eq!((value(&snapshot), snapshot.version()), (None, 0));
    assert!(snapshot.stale_since().is_none() && snapshot.problem().is_none());
    assert!(limit.peek().is_some());
}

pub(crate) async fn a_value_outlives_the_process_that_wrote_it(place: Place) {
    let (a, b) = place.two_nodes().await;
    limit(&a).set(&7).await.unwrap();
    a.shutdown(SOON).await.unwrap();

    assert_eq!(value(&limit(&b).get().await.unwrap()), Some(7));
}

pub(crate) async fn no_update_of_two_processes_is_lost(place: Place) {
    const UPDATES: u64 = 20;
    let (a, b) = place.two_nodes().await;
    let tasks: Vec<_> = (0..20)
        .map(|index| limit(if index % 2 == 0 { &a } else { &b }))
        .map(|limit| {
            tokio::spawn(async move {
                for _ in 0..UPDATES {
                    let updated = limit.update(|old| old.copied().unwrap_or(0) + 1).await;
                    updated.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }

    for node in [&a, &b] {
        becomes(&limit(node), Some(20 * UPDATES)).await;
        assert_eq!(limit(node).refresh().await.unwrap().version(), 20 * UPDATES);
    }
}

pub(crate) async fn updates_that_are_written_together_each_return_their_value(place: Place) {
    let node = place.node().await;
    let sum = node.shared::<u64>("sum").unwrap();
    let updates: Vec<_> = (0..500)
        .map(|_| {
            let sum = sum.clone();
            tokio::spawn(async move { sum.update(|old| old.copied().unwrap_or(0) + 1).await })
        })
        .collect();

    let mut made = BTreeSet::new();
    for update in updates {
        made.insert(**update.await.unwrap().unwrap().value().unwrap());
    }

    assert!(made.into_iter().eq(1..=500));
    let now = sum.get().await.unwrap();
    assert_eq!(now.value().map(|sum| **sum), Some(500));
    assert!(now.version() < 500, "none were written together");
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Tree {
    Leaf(u32),
    Branch(Box<Tree>),
}

pub(crate) async fn a_failed_update_affects_no_other(place: Place) {
    let node = place.node().await;
    let tree = node.shared::<Tree>("tree").unwrap();
    tree.set(&Tree::Leaf(0)).await.unwrap();
    let deep = |levels| (0..levels).fold(Tree::Leaf(0), |tree, _| Tree::Branch(Box::new(tree)));
    let updates: Vec<_> = (0..30_u32)
        .map(|index| {
            let tree = tree.clone();
            tokio::spawn(async move {
                let change = tree.update(move |_| match index % 3 {
                    0 => Tree::Leaf(index),
                    1 => deep(40),
                    _ => panic!("on purpose"),
                });
                change.await
            })
        })
        .collect();

    for (index, update) in updates.into_iter().enumerate() {
        match (index % 3, update.await) {
            (0, Ok(Ok(made))) => {
                assert!(
                    matches!(**made.value().unwrap(), Tree::Leaf(leaf) if leaf as usize == index)
                );
            }
            // A valid value that was written together with it hides it.
            (1, Ok(Ok(_) | Err(StoreError::Encode { .. }))) => {}
            (2, Err(error)) => assert!(error.is_panic()),
            (_, other) => panic!("{index}: {other:?}"),
        }
    }
    tree.update(|_| Tree::Leaf(7)).await.unwrap();
    let alone = tree.update(move |_| deep(40)).await.unwrap_err();
    assert!(matches!(alone, StoreError::Encode { .. }), "{alone}");
}

pub(crate) async fn a_process_sees_its_own_writes(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (here, there) = (limit(&a), limit(&b));
    let others = tokio::spawn(async move {
        for number in 0..100 {
            there.set(&number).await.unwrap();
        }
    });

    let mut last = 1_000;
    while !others.is_finished() {
        let written = here.update(move |_| last).await.unwrap();
        // Its own value, or one that the other process wrote after it.
        for seen in [&written, &here.get().await.unwrap()] {
            let seen = value(seen).unwrap();
            assert!(seen == last || seen < 1_000, "{seen} after {last}");
        }
        last += 1;
    }
    others.await.unwrap();
}

pub(crate) async fn concurrent_tasks_see_their_own_writes_or_newer_ones(place: Place) {
    let node = place.node().await;
    let writing: Vec<_> = (0..8)
        .map(|task| {
            let limit = limit(&node);
            tokio::spawn(async move {
                for number in 0..200 {
                    let written = limit.set(&(task * 1_000 + number)).await.unwrap();
                    let seen = limit.get().await.unwrap();
                    // The value is never cleared and Redis stays the same, so versions only grow.
                    assert!(seen.version() >= written.version());
                    let again = limit.get().await.unwrap();
                    assert!(again.version() >= seen.version());
                }
            })
        })
        .collect();
    // Concurrent reads: no older answer comes after a newer one.
    let mut newest = 0;
    while !writing.iter().all(JoinHandle::is_finished) {
        let loaded = limit(&node).refresh().await.unwrap().version();
        assert!(loaded >= newest, "{loaded} after {newest}");
        newest = loaded;
    }
    for task in writing {
        task.await.unwrap();
    }

    assert_eq!(limit(&node).refresh().await.unwrap().version(), 8 * 200);
}

pub(crate) async fn a_watch_sees_the_newest_value_and_may_skip_others(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (here, there) = (limit(&a), limit(&b));
    there.get().await.unwrap();
    let mut changes = there.watch();
    for number in 1..=100 {
        here.set(&number).await.unwrap();
    }
    becomes(&there, Some(100)).await;

    let first = changes.changed().await.unwrap();

    assert_eq!(value(&first), Some(100));
    here.set(&101).await.unwrap();
    let second = changes.next().await.unwrap();
    assert_eq!(value(&second), Some(101));
}

pub(crate) async fn a_watch_of_an_unread_value_is_notified_of_the_first_read(place: Place) {
    let (a, b) = place.two_nodes().await;
    limit(&a).set(&5).await.unwrap();

    let first = limit(&b).watch().changed().await.unwrap();

    assert_eq!(value(&first), Some(5));
}

pub(crate) async fn a_watch_ends_with_its_bus(place: Place) {
    let node = place.node().await;
    let limit = limit(&node);
    limit.set(&5).await.unwrap();
    let mut changes = limit.watch();
    limit.set(&6).await.unwrap();

    node.shutdown(SOON).await.unwrap();

    // The value that was there is reported first.
    assert_eq!(changes.changed().await.as_ref().and_then(value), Some(6));
    assert!(changes.changed().await.is_none());
    assert!(changes.next().await.is_none());
    let last = limit.get().await.unwrap();
    assert_eq!(value(&last), Some(6));
    assert!(last.stale_since().is_some(), "nobody follows it any more");
    let refused = limit.set(&7).await.unwrap_err();
    assert!(!refused.is_unknown(), "{refused}");
    assert!(matches!(
        node.shared::<u64>("limit"),
        Err(SharedError::Closed)
    ));
}

pub(crate) async fn a_cleared_value_is_absent_for_all(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (here, there) = (limit(&a), limit(&b));
    here.set(&100).await.unwrap();
    becomes(&there, Some(100)).await;

    there.clear().await.unwrap();

    assert_eq!(value(&there.get().await.unwrap()), None);
    becomes(&here, None).await;
    let again = here.update(|old| old.copied().unwrap_or(1)).await.unwrap();
    assert_eq!((value(&again), again.version()), (Some(1), 3));
    becomes(&there, Some(1)).await;
}

pub(crate) async fn an_expired_value_is_detected_by_the_periodic_comparison(place: Place) {
    let quick = place.builder().refresh_interval(Duration::from_secs(1));
    let node = Node::start(quick).await;
    let sharing = SharedOptions::new().ttl(Duration::from_millis(300));
    let leader = node.shared_with::<String>("leader", sharing).unwrap();
    leader.set(&"api-3".to_owned()).await.unwrap();
    let mut changes = leader.watch();

    let gone = changes.changed().await.unwrap();

    assert_eq!(value(&gone), None);
}

pub(crate) async fn a_name_has_one_type_on_a_bus(place: Place) {
    let node = place.node().await;
    let first = limit(&node);

    let error = node.shared::<String>("limit").unwrap_err();

    let text = error.to_string();
    let types = "for `alloc::string::String`: this bus already uses it for `u64`";
    assert!(text.contains(types), "{text}");
    drop(first);
    assert!(node.shared::<String>("limit").is_ok());
    let error = node.shared::<u64>("a b").unwrap_err();
    assert!(matches!(error, SharedError::Name { .. }));
}

pub(crate) async fn all_handles_of_a_name_share_one_copy(place: Place) {
    let node = place.node().await;
    limit(&node).set(&100).await.unwrap();
    let (a, b) = (limit(&node), limit(&node));

    let (a, b) = (a.get().await.unwrap(), b.get().await.unwrap());

    assert!(Arc::ptr_eq(a.value().unwrap(), b.value().unwrap()));
}

pub(crate) async fn buses_of_different_formats_share_values(place: Place) {
    let packed = place.builder().format(Format::MessagePack);
    let (packed, plain) = (Node::start(packed).await, place.node().await);
    let sharing = SharedOptions::new().inline_up_to(1_000);
    let here = packed.shared_with::<(u64, String)>("pair", sharing.clone());
    let there = plain.shared_with::<(u64, String)>("pair", sharing);
    let (here, there) = (here.unwrap(), there.unwrap());
    let first = (7, "seven".to_owned());

    here.set(&first).await.unwrap();
    assert_eq!(value(&there.get().await.unwrap()), Some(first));
    let mut changes = here.watch();
    let update = there.update(|old| (old.unwrap().0 + 1, "eight".to_owned()));
    update.await.unwrap();

    let second = changes.changed().await.unwrap();
    assert_eq!(value(&second), Some((8, "eight".to_owned())));
    let third = here.update(|old| (old.unwrap().0 + 1, "nine".to_owned()));
    assert_eq!(third.await.unwrap().version(), 3);
}

pub(crate) async fn all_copies_are_equal_after_concurrent_writes(place: Place) {
    let nodes = [place.node().await, place.node().await, place.node().await];
    let storm: Vec<_> = (0..12_u64)
        .map(|task| {
            let node = &nodes[usize::try_from(task).unwrap() % nodes.len()];
            let sharing = SharedOptions::new().inline_up_to(if task < 6 { 0 } else { 100 });
            let limit = node.shared_with::<u64>("limit", sharing).unwrap();
            tokio::spawn(async move {
                for number in 0..60 {
                    match (task * 7 + number * 13) % 10 {
                        0 | 1 => limit.clear().await.unwrap(),
                        2..5 => drop(limit.set(&(task * 1_000 + number)).await.unwrap()),
                        _ => drop(
                            limit
                                .update(|old| old.map_or(0, |old| old + 1))
                                .await
                                .unwrap(),
                        ),
                    }
                }
            })
        })
        .collect();
    for task in storm {
        task.await.unwrap();
    }

    // The last writer gets its own notification too, so this read returns the last value.
    let last = limit(&nodes[0]).refresh().await.unwrap();
    for node in &nodes {
        becomes(&limit(node), value(&last)).await;
        assert_eq!(limit(node).get().await.unwrap().version(), last.version());
    }
}

pub(crate) async fn a_value_that_could_not_be_read_back_is_not_written(place: Place) {
    let node = place.node().await;
    let nested = node.shared::<serde_json::Value>("nested").unwrap();
    let too_deep = (0..40).fold(serde_json::json!(0), |inner, _| serde_json::json!([inner]));

    let error = nested.set(&too_deep).await.unwrap_err();

    assert!(matches!(error, StoreError::Encode { .. }), "{error:?}");
    assert_eq!(nested.refresh().await.unwrap().version(), 0);
}

/// A notification is one level deeper than the value that it carries.
pub(crate) async fn a_value_of_32_levels_reaches_every_process(place: Place) {
    let (a, b) = place.two_nodes().await;
    for levels in [31, 32] {
        let sharing = || SharedOptions::new().inline_up_to(1_024);
        let name = format!("nested-{levels}");
        let here = a
            .shared_with::<serde_json::Value>(&name, sharing())
            .unwrap();
        let there = b
            .shared_with::<serde_json::Value>(&name, sharing())
            .unwrap();
        there.get().await.unwrap();
        let nested = (0..levels).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));

        here.set(&nested).await.unwrap();

        wait_for("the copy follows", SOON, async || {
            value(&there.get().await.unwrap()).as_ref() == Some(&nested)
        })
        .await;
    }
    assert!(b.failures().all().is_empty(), "{:?}", b.failures().all());
}
