//! Tests of the codec through its public API.
#![allow(
    clippy::doc_markdown,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "MessagePack is a name, tables are long, and a panic is how a test fails"
)]

mod bad_events;
#[path = "../../fuzz/checks.rs"]
mod checks;
mod corpus;
mod extensions;
mod hostile;
mod round_trip;
