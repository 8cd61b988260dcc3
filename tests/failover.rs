//! A master with sentinels that moves, dies and comes back, and what a bus makes of it.
#![allow(missing_docs, reason = "each name is the promise")]
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod failover {
    mod fake;
    mod follows;
    mod liar;
    mod moves;
    mod start;
}
