//! Only functions are handlers.

#[tidings::on]
struct Greeter;

fn main() {}
