//! `other` belongs on a variant.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(other)]
struct Changed;

fn main() {}
