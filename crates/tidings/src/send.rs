//! The path of an event to a frame in the outgoing queue. No I/O.

mod encoding;
pub(crate) mod frame;
pub(crate) mod given_up;
pub(crate) mod outgoing;
pub(crate) mod window;
