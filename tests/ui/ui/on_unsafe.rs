//! The bus cannot know what an unsafe function needs.

#[tidings::on("cache.clear")]
async unsafe fn clear(key: String) {
    println!("{key}");
}

fn main() {}
