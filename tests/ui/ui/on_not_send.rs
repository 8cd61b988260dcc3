//! The future of a handler must be `Send`.
use std::rc::Rc;

#[tidings::on("cache.clear")]
async fn clear(key: String) {
    let key = Rc::new(key);
    wait().await;
    println!("{key}");
}

async fn wait() {}

fn main() {}
