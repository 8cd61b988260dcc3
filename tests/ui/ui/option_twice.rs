//! An option is given once.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event("user.renamed", since = "1.2", since = "1.3")]
struct Renamed;

fn main() {}
