//! A name is a text.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(5)]
struct Changed;

fn main() {}
