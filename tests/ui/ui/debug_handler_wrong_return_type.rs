//! The attribute points at an unsuitable return type.
#[tidings::debug_handler]
async fn count(key: String) -> usize {
    key.len()
}

fn main() {}
