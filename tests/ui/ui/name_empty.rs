//! A name cannot be empty.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event("")]
struct Changed;

fn main() {}
