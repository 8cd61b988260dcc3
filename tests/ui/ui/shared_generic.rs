//! A shared value has one type.
#[tidings::shared("limits")]
struct Limits<T>(T);

fn main() {}
