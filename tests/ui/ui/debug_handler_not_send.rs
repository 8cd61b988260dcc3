//! The attribute points at a value across an await that is not `Send`.
use std::rc::Rc;

#[tidings::debug_handler]
async fn clear(key: String) {
    let key = Rc::new(key);
    wait().await;
    println!("{key}");
}

async fn wait() {}

fn main() {}
