//! The stages of a bus, from its start to its end.

/// The stage of a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It receives and sends.
    Open,
    /// Received events are dropped; running handlers end, and may still send.
    Draining,
    /// Waiting events are sent, for a second at most.
    Leaving,
    /// It is shut down.
    Closed,
}
