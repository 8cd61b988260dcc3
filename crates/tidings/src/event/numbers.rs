//! The sequence numbers of the events of one frame.

use tidings_codec::NodeId;

/// The sender of a frame, and the numbers of its events. A frame without events states the number of
/// the sender's next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Numbers {
    pub(crate) sender: NodeId,
    pub(crate) first: u64,
    pub(crate) events: u32,
}
