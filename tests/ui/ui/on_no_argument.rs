//! A handler takes at least the payload.

#[tidings::on("cache.clear")]
async fn clear() {}

fn main() {}
