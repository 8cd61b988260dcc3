//! The attribute points at a payload that nothing can read.
struct Order;

#[tidings::debug_handler]
async fn ship(_: Order) {}

fn main() {}
