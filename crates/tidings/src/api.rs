//! The methods of `Bus`, one file for each group, and the types that they return.

pub(crate) mod builder;
pub(crate) mod counter;
#[cfg(test)]
mod foreign_text;
pub(crate) mod lifecycle;
pub(crate) mod members;
pub(crate) mod request;
pub(crate) mod send;
pub(crate) mod send_to;
pub(crate) mod shared;
pub(crate) mod subscribe;
