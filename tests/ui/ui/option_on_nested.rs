//! A variant that holds an event has its options.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Renamed;

#[derive(Event)]
enum Account {
    #[event(since = "1.2")]
    Renamed(Renamed),
}

fn main() {}
