//! An event has one place in an enum.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Renamed;

#[derive(Event)]
enum Account {
    First(Renamed),
    Second(Renamed),
}

fn main() {}
