//! `alias` is for events.
#[tidings::shared("limits", alias("a", "b"))]
struct Limits;

fn main() {}
