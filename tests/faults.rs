//! What goes wrong with a real Redis, and what a bus makes of it.
#![allow(missing_docs, reason = "each name is the promise")]
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

#[path = "promises/captured.rs"]
mod captured;
mod faults {
    mod acl;
    mod deaf;
    mod doubt;
    mod interop;
    mod loss;
    mod outage;
    mod proxy;
    mod secrets;
    mod start;
    mod tls;
    mod traffic;
}
