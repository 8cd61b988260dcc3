//! A handler for a name takes a serde type.

struct Key;

#[tidings::on("cache.clear")]
async fn clear(_: Key) {}

fn main() {}
