//! The attribute needs a name.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event]
struct Changed;

#[derive(Serialize, Deserialize, Event)]
#[event()]
struct Renamed;

fn main() {}
