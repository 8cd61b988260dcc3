//! Only an event can be published without a name.
use tidings::prelude::*;

#[derive(Serialize, Deserialize)]
struct Changed;

async fn send(bus: Bus) {
    let _ = bus.publish(&Changed).await;
}

fn main() {}
