//! The name has no key.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "user.changed")]
struct Changed;

fn main() {}
