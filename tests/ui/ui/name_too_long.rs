//! A name cannot have more than 128 bytes.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event("user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.")]
struct Changed;

fn main() {}
