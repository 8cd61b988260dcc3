//! All watches are streams with `changed` and `wait_for`.

use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt};
use tidings::{EntryState, MapChange, MemberEvent, Snapshot};
use tidings_testkit::memory_nodes;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);

fn is_stream<T>(_: &impl Stream<Item = T>) {}

/// The end of a wait that does not depend on another change.
async fn at_once<T>(waiting: impl Future<Output = Option<T>>) -> T {
    timeout(SOON, waiting)
        .await
        .expect("it waits for nothing")
        .unwrap()
}

#[tokio::test]
async fn a_wait_for_a_shared_value_accepts_the_value_of_now_and_a_later_one() {
    let (node, other) = memory_nodes().await;
    let value = node.shared::<u32>("limit").unwrap();
    value.set(&1).await.unwrap();
    let mut watch = value.watch();
    is_stream(&watch);

    let is = |wanted| move |now: &Snapshot<u32>| now.value().is_some_and(|value| **value == wanted);
    at_once(watch.wait_for(is(1))).await;
    assert!(watch.changed().now_or_never().is_none(), "it was returned");

    let other = other.shared::<u32>("limit").unwrap();
    let waiting = watch.wait_for(is(3));
    let writing = async {
        other.set(&2).await.unwrap();
        other.set(&3).await.unwrap();
    };
    tokio::join!(at_once(waiting), writing);
}

#[tokio::test]
async fn a_wait_for_an_entry_accepts_the_state_of_now_and_a_later_one() {
    let (node, _) = memory_nodes().await;
    let map = node.map::<String, u32>("users").unwrap();
    let key = "ada".to_owned();
    map.set(&key, &1).await.unwrap();
    let mut watch = map.watch(&key);
    is_stream(&watch);

    let is = |wanted| move |state: &EntryState<u32>| matches!(state, EntryState::Present(value) if **value == wanted);
    at_once(watch.wait_for(is(1))).await;
    assert!(watch.changed().now_or_never().is_none(), "it was returned");
    let (_, written) = tokio::join!(at_once(watch.wait_for(is(2))), map.set(&key, &2));
    written.unwrap();

    let mut all = map.watch_all();
    is_stream(&all);
    map.set(&"eve".to_owned(), &1).await.unwrap();
    map.set(&key, &3).await.unwrap();
    let change = at_once(all.wait_for(|change| *change == MapChange::Entry("ada".to_owned())));
    change.await;
}

#[tokio::test]
async fn a_wait_for_a_member_accepts_those_that_are_present() {
    let (node, other) = memory_nodes().await;
    let mut watch = node.watch_members();
    is_stream(&watch);
    let id = other.id();
    at_once(
        watch.wait_for(|event| matches!(event, MemberEvent::Joined(member) if member.id == id)),
    )
    .await;
    let gone = watch
        .wait_for(|event| matches!(event, MemberEvent::Left { member, .. } if member.id == id));
    let (_, ended) = tokio::join!(at_once(gone), other.shutdown(SOON));
    ended.unwrap();
}

#[tokio::test]
async fn a_wait_ends_with_the_bus() {
    let (node, _) = memory_nodes().await;
    let value = node.shared::<u32>("limit").unwrap();
    let map = node.map::<String, u32>("users").unwrap();
    let (mut values, mut changes) = (value.watch(), map.watch_all());
    let (mut members, mut health) = (node.watch_members(), node.watch_health());
    node.shutdown(SOON).await.unwrap();

    assert!(values.wait_for(|_| false).await.is_none());
    assert!(changes.wait_for(|_| false).await.is_none());
    assert!(members.wait_for(|_| false).await.is_none());
    assert!(health.wait_for(|_| false).await.is_none());
}

#[tokio::test]
async fn a_watch_that_has_ended_returns_none_again() {
    let (node, _) = memory_nodes().await;
    let (value, map) = (node.shared::<u32>("limit"), node.map::<u32, u32>("users"));
    let (value, map) = (value.unwrap(), map.unwrap());
    let (value, entry, entries) = (value.watch(), map.watch(&7), map.watch_all());
    let (members, health) = (node.watch_members(), node.watch_health());
    node.shutdown(SOON).await.unwrap();

    ends(value).await;
    ends(entry).await;
    ends(entries).await;
    ends(members).await;
    ends(health).await;
}

/// Reads a stream to its end, and once more.
async fn ends(mut stream: impl Stream + Unpin) {
    while stream.next().await.is_some() {}
    assert!(stream.next().await.is_none());
}
