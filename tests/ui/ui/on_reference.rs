//! A handler owns what it takes.

#[tidings::on("cache.clear")]
async fn clear(key: &str) {
    println!("{key}");
}

fn main() {}
