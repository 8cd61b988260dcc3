//! A key is heard with its own event.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Changed;

#[derive(Serialize, Deserialize, Event)]
struct Renamed;

fn hear(bus: Bus) {
    let _ = bus.on(Changed::EVENT, |_: Renamed| async {});
}

fn main() {}
