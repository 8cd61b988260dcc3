//! The stages of a bus, from its start to its end.

/// How far the life of a bus has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It hears and sends.
    Open,
    /// Nobody is told any more what it hears; handlers end and may still send.
    Draining,
    /// What waits to be sent may still leave, within a second.
    Leaving,
    /// It is over.
    Closed,
}
