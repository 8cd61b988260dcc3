//! A handler without a name takes an event.

#[tidings::on]
async fn clear(_: String) {}

fn main() {}
