//! A default name must follow the rules for names.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Größe;

#[derive(Event)]
enum Maße {
    Neu,
}

fn main() {}
