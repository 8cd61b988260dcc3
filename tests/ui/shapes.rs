//! The right uses of the macros. Public, so that the lints look at them as at an API.

pub mod events;
pub mod handlers;
