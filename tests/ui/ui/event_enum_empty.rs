//! An enum without variants has no events.
use tidings::prelude::*;

#[derive(Event)]
enum Nothing {}

fn main() {}
