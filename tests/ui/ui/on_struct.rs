//! Only a function can be a handler.

#[tidings::on]
struct Greeter;

fn main() {}
