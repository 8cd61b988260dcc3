//! Without a name a handler takes an event.

#[tidings::on]
async fn clear(_: String) {}

fn main() {}
