//! The attribute takes one name or nothing.

#[tidings::on(cache)]
async fn clear(_: String) {}

#[tidings::on(name = "cache.clear")]
async fn clear_named(_: String) {}

#[tidings::on("cache.clear", concurrency = 8)]
async fn clear_many(_: String) {}

fn main() {}
