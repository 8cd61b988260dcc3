//! Every shape that serde can give a payload, in both formats: equal after it travelled, refused
//! where it is sent, or read as something else that the book names. Never sent and unreadable.
#![allow(
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "tables are long, and a panic is how a test fails"
)]

mod enums;
mod keys;
mod leaves;
mod places;
mod table;
mod twice;
