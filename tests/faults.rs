//! What goes wrong with a real Redis, and what a bus makes of it.
#![allow(missing_docs, reason = "each name is the promise")]

mod faults {
    mod foreign;
    mod loss;
    mod outage;
    mod start;
}
