//! `alias` takes a field, and its other names.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event("user.renamed", alias("name"))]
struct Renamed {
    name: String,
}

fn main() {}
