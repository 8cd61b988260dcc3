//! A nested event is written by its own type.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Renamed;

#[derive(Event)]
enum Account {
    Renamed(#[serde(with = "elsewhere")] Renamed),
}

fn main() {}
