//! An argument after the payload has an unsuitable type.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Renamed;

struct Mail;

#[tidings::on]
async fn greet(_: Renamed, _: Mail) {}

fn main() {}
