//! A payload must own its data.
use tidings::prelude::*;

async fn clear(_: &str) {}

fn register(bus: Bus) {
    let _ = bus.on("cache.clear", clear);
    let _ = bus.on("cache.clear", |_: &'static str| async {});
}

fn main() {}
