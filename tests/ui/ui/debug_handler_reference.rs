//! The attribute points at a payload that is borrowed.
#[tidings::debug_handler]
async fn clear(_: &str) {}

fn main() {}
