//! The attribute points at the argument that no handler takes, such as another crate's `State`.
use tidings::prelude::*;

mod extract {
    pub struct State<T>(pub T);
}

#[tidings::debug_handler]
async fn greet(_: String, _: Context, extract::State(_): extract::State<u32>) {}

fn main() {}
