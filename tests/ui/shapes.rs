//! Valid uses of the macros. Public, so that lints for public items apply.

pub mod events;
pub mod handlers;
