//! A handler takes five things at most.
use tidings::prelude::*;

#[tidings::on("cache.clear")]
async fn clear(_: String, _: Context, _: Bus, _: Context, _: Bus, _: Context) {}

fn main() {}
