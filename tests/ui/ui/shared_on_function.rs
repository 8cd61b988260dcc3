//! A shared value is declared at its type.
#[tidings::shared("limits")]
fn limits() {}

fn main() {}
