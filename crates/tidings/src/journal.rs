//! The journal: frames in a Redis stream, which every bus follows from its own position.

pub(crate) mod access;
pub(crate) mod begin;
pub(crate) mod durable;
pub(crate) mod follow;
pub(crate) mod gathering;
pub(crate) mod ledger;
pub(crate) mod marks;
pub(crate) mod options;
pub(crate) mod page_size;
pub(crate) mod position;
pub(crate) mod reader;
pub(crate) mod role;
pub(crate) mod state;
pub(crate) mod trim;
pub(crate) mod warnings;
