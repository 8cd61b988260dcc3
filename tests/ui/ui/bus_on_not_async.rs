//! A handler must be async.
use tidings::prelude::*;

fn register(bus: Bus) {
    let _ = bus.on("cache.clear", |key: String| println!("{key}"));
}

fn main() {}
