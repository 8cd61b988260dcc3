//! A field cannot have a name.
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
