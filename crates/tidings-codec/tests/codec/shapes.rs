//! Payloads of every shape that serde has, in both formats. Each is read back equal, is rejected when
//! it is written, or is an exception that the book lists. None is written but unreadable.

mod duplicate_keys;
mod enums;
mod keys;
mod leaves;
mod places;
mod table;
