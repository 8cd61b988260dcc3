//! An event must be `Send`.
use tidings::prelude::*;

use std::rc::Rc;

#[derive(Event)]
enum Cache {
    #[event("cache.local")]
    Local(Local),
}

#[derive(Serialize, Deserialize)]
struct Local {
    #[serde(skip)]
    key: Rc<()>,
}

fn main() {}
