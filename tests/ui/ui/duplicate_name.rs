//! Two variants cannot have the same name.
use tidings::prelude::*;

#[derive(Event)]
enum Account {
    #[event("account.gone")]
    Deleted { id: u64 },
    #[event("account.gone")]
    Removed { id: u64 },
}

fn main() {}
