//! The names of shared values have the rules of event names.
#[tidings::shared("the limits")]
struct Limits;

fn main() {}
