//! A handler returns nothing or a `Result`.
use tidings::prelude::*;

fn register(bus: Bus) {
    let _ = bus.on("cache.clear", |key: String| async move { key.len() });
}

fn main() {}
