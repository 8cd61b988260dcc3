//! The name in the attribute is checked.

#[tidings::on("cache clear")]
async fn clear(key: String) {
    println!("{key}");
}

fn main() {}
