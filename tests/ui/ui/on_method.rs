//! A method has no `self` to be called with.

struct Cache;

impl Cache {
    #[tidings::on("cache.clear")]
    async fn clear(&self, key: String) {
        println!("{key}");
    }
}

fn main() {}
