//! A name is short.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event("user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.user.")]
struct Changed;

fn main() {}
