//! An option is one that the contract has.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event("user.renamed", sice = "1.2")]
struct Renamed;

fn main() {}
