//! The name is in parentheses.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event = "user.changed"]
struct Changed;

fn main() {}
