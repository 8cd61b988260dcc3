//! The methods of `Bus`, one file for each group, and the types that they return.

pub(crate) mod builder;
#[cfg(test)]
mod foreign_text;

// Rustdoc shows the methods of `Bus` in this order; the blank lines keep rustfmt from sorting it.
pub(crate) mod start;

pub(crate) mod subscribe;

pub(crate) mod tap;

pub(crate) mod tap_item;

pub(crate) mod sending;

pub(crate) mod send;

pub(crate) mod send_to;

pub(crate) mod request_builder;

pub(crate) mod request;

pub(crate) mod shared;

pub(crate) mod counter;

pub(crate) mod members;

pub(crate) mod inspect;

pub(crate) mod journal;

pub(crate) mod lifecycle;

#[cfg(feature = "admin")]
mod admin;
