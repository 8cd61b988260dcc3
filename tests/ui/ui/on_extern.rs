//! A handler cannot be `extern`.

#[tidings::on("cache.clear")]
async extern "C" fn clear(key: String) {
    println!("{key}");
}

fn main() {}
