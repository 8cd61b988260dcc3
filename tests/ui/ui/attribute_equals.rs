//! The name stands in parentheses.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event = "user.changed"]
struct Changed;

fn main() {}
