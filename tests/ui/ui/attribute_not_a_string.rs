//! A name must be a string.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(5)]
struct Changed;

fn main() {}
