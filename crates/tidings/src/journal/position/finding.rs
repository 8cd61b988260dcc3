//! The findings of a comparison with the stream.

use std::ops::Range;

use tidings_codec::NodeId;

/// Entries that were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Entries that were not read may have been trimmed.
    Trimmed,
    /// Redis forgot these events, which were handed on. Entries that were not read may be among the
    /// forgotten ones.
    Diverged(Vec<Forgotten>),
    /// Redis forgot more than is remembered here.
    DivergedUnknown,
    /// Redis lost the whole stream.
    Lost,
}

/// Events that this process received and Redis has forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forgotten {
    pub(crate) sender: NodeId,
    pub(crate) numbers: Range<u64>,
}
