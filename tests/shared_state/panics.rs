//! Values are application code: dropping or encoding them may panic.

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use tidings::{Failure, StoreError};
use tidings_testkit::{Node, wait_for};
use tokio::time::timeout;

use crate::place::Place;

const SOON: Duration = Duration::from_secs(10);

/// Panics when it is dropped.
#[derive(Serialize, Deserialize)]
struct Bomb(u64);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "dropped on purpose");
    }
}

/// Never dropped.
fn retained(number: u64) -> &'static Bomb {
    Box::leak(Box::new(Bomb(number)))
}

async fn until_reported(node: &Node, name: &str) {
    let is_reported = |failure: &Failure| matches!(failure, Failure::DropPanicked { shared, panic } if shared == name && panic == "dropped on purpose");
    node.failures().wait_for(is_reported).await;
}

pub(crate) async fn a_shared_value_that_panics_when_it_is_dropped_is_reported_and_ends_no_task(
    place: Place,
) {
    let (a, b) = place.two_nodes().await;
    let [here, there] = [&a, &b].map(|node| node.shared::<Bomb>("bomb").unwrap());
    there.get().await.unwrap();

    for number in 1..=3 {
        here.set(retained(number)).await.unwrap();
    }
    // A copy that begins with the last value drops none.
    wait_for("the copy has a value", SOON, async || {
        there.peek().is_some_and(|known| known.value().is_some())
    })
    .await;
    for number in 4..=6 {
        let updating = here.update(move |_| Bomb(number));
        timeout(SOON, updating).await.expect("it ends").unwrap();
    }

    wait_for("the copy follows", SOON, async || {
        let known = there.peek();
        known.is_some_and(|known| known.value().is_some_and(|bomb| bomb.0 == 6))
    })
    .await;
    until_reported(&a, "bomb").await;
    until_reported(&b, "bomb").await;
}

pub(crate) async fn an_entry_that_panics_when_it_is_dropped_is_reported_and_ends_no_task(
    place: Place,
) {
    let node = place.node().await;
    let map = node.map::<u64, Bomb>("bombs").unwrap();

    for number in 1..=3 {
        map.set(&1, retained(number)).await.unwrap();
    }
    let updated = map.update(&1, |_| Bomb(4)).await.unwrap();
    std::mem::forget(updated);
    let load = async || Ok::<_, StoreError>(Bomb(5));
    std::mem::forget(map.get_or_load(&2, load).await.unwrap());
    map.remove(&1).await.unwrap();

    assert!(map.get(&1).await.unwrap().is_none());
    until_reported(&node, "bombs").await;
}

/// Panics when it is encoded.
#[derive(Deserialize)]
struct Unwritable(u64);

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(self.0 < 13, "written on purpose");
        serializer.serialize_u64(self.0)
    }
}

pub(crate) async fn an_update_whose_value_panics_when_it_is_encoded_fails_alone(place: Place) {
    let node = place.node().await;
    let shared = node.shared::<Unwritable>("unwritable").unwrap();

    let updating = timeout(SOON, shared.update(|_| Unwritable(13)));
    let error = updating.await.expect("it ends").err();
    assert!(
        matches!(error, Some(StoreError::Encode { .. })),
        "{error:?}"
    );

    let updating = timeout(SOON, shared.update(|_| Unwritable(1)));
    assert!(updating.await.expect("it ends").is_ok());
}
