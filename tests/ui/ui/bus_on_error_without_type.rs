//! A closure that fails has to say with which type.
use tidings::prelude::*;

fn register(bus: Bus) {
    let _ = bus.on("cache.clear", |key: String| async move {
        if key.is_empty() {
            return Err("no key".into());
        }
        Ok(())
    });
}

fn main() {}
