//! The attribute points at a payload that cannot be deserialized.
struct Order;

#[tidings::debug_handler]
async fn ship(_: Order) {}

fn main() {}
