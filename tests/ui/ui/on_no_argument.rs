//! A handler takes the payload.

#[tidings::on("cache.clear")]
async fn clear() {}

fn main() {}
