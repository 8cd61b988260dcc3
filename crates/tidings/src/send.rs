//! From an event to a frame that waits to be sent. No I/O.

pub(crate) mod frame;
pub(crate) mod given_up;
pub(crate) mod outgoing;
pub(crate) mod window;
