//! A handler owns its arguments.

#[tidings::on("cache.clear")]
async fn clear(key: &str) {
    println!("{key}");
}

fn main() {}
