//! A default name keeps the rules too.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Größe;

#[derive(Event)]
enum Maße {
    Neu,
}

fn main() {}
