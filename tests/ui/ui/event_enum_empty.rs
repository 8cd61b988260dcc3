//! An enum of events needs variants.
use tidings::prelude::*;

#[derive(Event)]
enum Nothing {}

fn main() {}
