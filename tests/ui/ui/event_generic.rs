//! An event cannot be generic.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Changed<T> {
    value: T,
}

async fn send(bus: Bus) {
    // No follow-up: the type counts as an event.
    let _ = bus.publish(&Changed { value: 1 }).await;
}

fn main() {}
