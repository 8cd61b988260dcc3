//! A field has no name of its own.
use tidings::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Changed {
    #[event("user.id")]
    id: u64,
}

#[derive(Event)]
enum Account {
    Deleted {
        #[event("user.id")]
        id: u64,
    },
}

fn main() {}
