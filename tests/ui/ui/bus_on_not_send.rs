//! Values held across an await must be `Send`.
use std::rc::Rc;

use tidings::prelude::*;

async fn clear(key: String) {
    let key = Rc::new(key);
    wait().await;
    println!("{key}");
}

async fn wait() {}

fn register(bus: Bus) {
    let _ = bus.on("cache.clear", clear);
}

fn main() {}
