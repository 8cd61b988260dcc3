//! A handler is a function of Rust.

#[tidings::on("cache.clear")]
async extern "C" fn clear(key: String) {
    println!("{key}");
}

fn main() {}
