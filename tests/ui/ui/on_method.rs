//! A handler cannot be a method.

struct Cache;

impl Cache {
    #[tidings::on("cache.clear")]
    async fn clear(&self, key: String) {
        println!("{key}");
    }
}

fn main() {}
