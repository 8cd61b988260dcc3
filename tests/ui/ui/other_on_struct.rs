//! `other` is for variants.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(other)]
struct Changed;

fn main() {}
