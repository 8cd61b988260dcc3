//! A shared value has a name.
#[tidings::shared]
struct Limits;

#[tidings::map(users)]
struct User;

tidings::counter!();

fn main() {}
