//! Under a name a handler takes a serde type.

struct Key;

#[tidings::on("cache.clear")]
async fn clear(_: Key) {}

fn main() {}
