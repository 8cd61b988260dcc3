//! What goes wrong with a real Redis, and what a bus makes of it.
#![allow(missing_docs, reason = "each name is the promise")]
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

#[path = "promises/captured.rs"]
mod captured;
mod faults {
    /// The connections of a node that comes through a proxy, in the order it makes them.
    const HEARING: usize = 0;
    const SENDING: usize = 1;

    mod acl;
    mod addresses;
    mod bounds;
    mod busy;
    mod databases;
    mod deaf;
    mod doubt;
    mod health;
    mod idle;
    mod interop;
    mod logs;
    mod loss;
    mod outage;
    mod secrets;
    mod start;
    mod tls;
    mod traffic;
    mod versions;
    mod words;
}
