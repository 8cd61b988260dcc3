//! The error type of a closure cannot be inferred from `into`.
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
