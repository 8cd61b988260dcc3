//! The attribute says what a handler may not hold across an await.
use std::rc::Rc;

#[tidings::debug_handler]
async fn clear(key: String) {
    let key = Rc::new(key);
    wait().await;
    println!("{key}");
}

async fn wait() {}

fn main() {}
