//! The attribute points at an unsuitable argument, such as the `State` of another crate.
use tidings::prelude::*;

mod extract {
    pub struct State<T>(pub T);
}

#[tidings::debug_handler]
async fn greet(_: String, _: Context, extract::State(_): extract::State<u32>) {}

fn main() {}
