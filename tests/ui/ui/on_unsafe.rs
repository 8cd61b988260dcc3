//! A handler cannot be unsafe.

#[tidings::on("cache.clear")]
async unsafe fn clear(key: String) {
    println!("{key}");
}

fn main() {}
