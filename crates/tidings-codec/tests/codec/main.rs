//! Frames and payloads from outside: what is written is read again, what is damaged is rejected.
#![allow(
    clippy::doc_markdown,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "MessagePack is a name, tables are long, and a panic is how a test fails"
)]

mod bad_events;
mod corpus;
mod extensions;
mod hostile;
mod round_trip;
mod shapes;
