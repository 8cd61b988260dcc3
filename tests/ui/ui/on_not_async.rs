//! A handler must be async.

#[tidings::on("cache.clear")]
fn clear(key: String) {
    println!("{key}");
}

fn main() {}
