//! A default name equals the name of another variant.
use tidings::prelude::*;

#[derive(Event)]
enum Account {
    Deleted { id: u64 },
    #[event("account.deleted")]
    Removed { id: u64 },
    #[event("account.reloaded")]
    Refreshed,
    Reloaded,
}

fn main() {}
