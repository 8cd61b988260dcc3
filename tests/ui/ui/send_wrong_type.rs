//! `EVENT` of one event does not fit another event.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Changed;

#[derive(Serialize, Deserialize, Event)]
struct Renamed;

async fn send(bus: Bus) {
    let _ = bus.send_to_all(Changed::EVENT, &Renamed).await;
}

fn main() {}
