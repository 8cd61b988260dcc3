//! `EVENT` of one event does not fit a handler for another.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Changed;

#[derive(Serialize, Deserialize, Event)]
struct Renamed;

fn register(bus: Bus) {
    let _ = bus.on(Changed::EVENT, |_: Renamed| async {});
}

fn main() {}
