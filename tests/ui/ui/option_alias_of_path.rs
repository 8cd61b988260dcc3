//! `alias` is for the fields of the payload itself.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event("user.moved", alias("address.street", "road"))]
struct Moved {
    address: Address,
}

#[derive(Serialize, Deserialize)]
struct Address {
    street: String,
}

fn main() {}
