//! The `State` of another crate is not `tidings::State`.
use tidings::prelude::*;

mod extract {
    pub struct State<T>(pub T);
}

async fn clear(_: String, extract::State(_): extract::State<u32>) {}

fn register(bus: Bus) {
    let _ = bus.on("cache.clear", clear);
}

fn main() {}
