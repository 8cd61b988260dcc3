//! An event type can be in one variant only.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Renamed;

#[derive(Event)]
enum Account {
    First(Renamed),
    Second(Renamed),
}

fn main() {}
