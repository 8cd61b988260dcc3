//! A name contains a character that is not allowed.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event("user renamed")]
struct Changed;

fn main() {}
