//! A handler returns nothing or a `Result`.

#[tidings::on("cache.clear")]
async fn clear(key: String) -> usize {
    key.len()
}

fn main() {}
