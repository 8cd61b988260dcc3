//! Every shape that serde can give a payload, in both formats: equal after it travelled, refused
//! where it is sent, or read as something else that the book names. Never sent and unreadable.

mod duplicate_keys;
mod enums;
mod keys;
mod leaves;
mod places;
mod table;
