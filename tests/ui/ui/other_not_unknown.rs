//! A variant `other` holds an `Unknown`.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Changed;

#[derive(Event)]
enum Account {
    #[event(other)]
    Other(Changed),
}

fn main() {}
