//! The attribute points at what a handler cannot return.
#[tidings::debug_handler]
async fn count(key: String) -> usize {
    key.len()
}

fn main() {}
