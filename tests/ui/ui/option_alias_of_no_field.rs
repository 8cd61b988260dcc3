//! `alias` names a field of the payload.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event("user.renamed", alias("nmae", "title"))]
struct Renamed {
    name: String,
}

fn main() {}
