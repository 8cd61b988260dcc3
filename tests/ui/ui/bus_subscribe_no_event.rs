//! A handler without a name takes an event.
use tidings::prelude::*;

fn register(bus: Bus) {
    let _ = bus.subscribe(|key: String| async move { println!("{key}") });
}

fn main() {}
