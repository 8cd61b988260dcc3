//! An event has one attribute.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event("user.changed")]
#[event("user.renamed")]
struct Changed;

fn main() {}
