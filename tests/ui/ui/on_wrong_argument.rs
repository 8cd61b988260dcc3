//! After the payload a handler takes few kinds of things.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Renamed;

struct Mail;

#[tidings::on]
async fn greet(_: Renamed, _: Mail) {}

fn main() {}
