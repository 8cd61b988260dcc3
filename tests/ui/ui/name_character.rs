//! A name has few kinds of characters.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event("user renamed")]
struct Changed;

fn main() {}
