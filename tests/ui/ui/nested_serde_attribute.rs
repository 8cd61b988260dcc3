//! A nested event cannot have serde attributes.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Renamed;

#[derive(Event)]
enum Account {
    Renamed(#[serde(with = "elsewhere")] Renamed),
}

fn main() {}
