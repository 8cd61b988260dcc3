//! A registered handler cannot be generic.

#[tidings::on("cache.clear")]
async fn clear<T>(_: T) {}

#[tidings::on("cache.clear")]
async fn clear_any(_: impl ToString) {}

#[tidings::on("cache.clear")]
async fn clear_borrowed<'a>(_: &'a str) {}

fn main() {}
