//! Requests of this bus, and the responses to them.

pub(crate) mod pending;
pub(crate) mod responses;
pub(crate) mod summary;
