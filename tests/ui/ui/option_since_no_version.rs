//! `since` is a version.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event("user.renamed", since = 1.2)]
struct Renamed;

#[derive(Serialize, Deserialize, Event)]
#[event("user.deleted", since = "last year")]
struct Deleted;

fn main() {}
