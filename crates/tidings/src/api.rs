//! Methods of `Bus`, one file for each group.

mod members;
mod send_to;
mod shared;

pub(crate) use members::{heartbeat, join, remember};
