//! The attribute points at a borrowed payload.
#[tidings::debug_handler]
async fn clear(_: &str) {}

fn main() {}
