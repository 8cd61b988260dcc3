//! A handler takes at most five arguments.
use tidings::prelude::*;

#[tidings::on("cache.clear")]
async fn clear(_: String, _: Context, _: Bus, _: Context, _: Bus, _: Context) {}

fn main() {}
