//! Payloads of every shape that serde has, in both formats. Each is read back equal, is rejected when
//! it is written, or is an exception that the book lists. None is written but unreadable.
//!
//! The compiler takes a minute for all combinations of types and places, so `cargo xtask test --long`
//! runs this program, and the ordinary run does not build it.
#![allow(
    clippy::doc_markdown,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "MessagePack is a name, tables are long, and a panic is how a test fails"
)]

mod duplicate_keys;
mod enums;
mod keys;
mod leaves;
mod places;
mod table;
