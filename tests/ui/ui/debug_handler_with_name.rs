//! The attribute takes no arguments.
#[tidings::debug_handler("cache.clear")]
async fn clear(_: String) {}

#[tidings::debug_handler]
fn not_async(_: String) {}

#[tidings::debug_handler]
struct NoFunction;

fn main() {}
