//! An argument has an unsuitable type.
use tidings::prelude::*;

fn register(bus: Bus) {
    let _ = bus.on("cache.clear", |key: String, limit: u32| async move {
        println!("{key} {limit}");
    });
}

fn main() {}
