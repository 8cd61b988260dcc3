//! What others see of a bus: its metrics, and the traces that go through it.
#![allow(missing_docs, reason = "each name is the promise")]
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod observing {
    mod metrics;
    mod stderr;
    mod traces;
}
