//! An event has one name.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event("user.changed", "user.renamed")]
struct Changed;

fn main() {}
