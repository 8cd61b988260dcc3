//! The name stands alone.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "user.changed")]
struct Changed;

fn main() {}
