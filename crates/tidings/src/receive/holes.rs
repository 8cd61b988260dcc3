//! The reason for which events of a sender are missing, after a part of the journal could not be
//! read.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use tidings_codec::NodeId;

use crate::error::gap::GapReason;

/// The maximum number of senders whose first frame after a loss is remembered.
const SENDERS: usize = 4_096;

/// The last part of the journal that could not be read. The first frame of each sender after it tells
/// how many numbers of this sender were in it; later holes have nothing to do with it.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    /// The reason for which that part could not be read, if it counts.
    reason: Option<GapReason>,
    /// The senders with a frame since then.
    seen: HashSet<NodeId, RandomState>,
}

impl Holes {
    /// A part of the journal could not be read, for this reason.
    pub(crate) fn begin(&mut self, reason: GapReason) {
        *self = Self::default();
        self.reason = Some(reason);
    }

    /// Returns the reason of a hole in the numbers of this sender, before its frame.
    pub(crate) fn reason(&self, sender: NodeId) -> GapReason {
        let reason = self.reason.clone();
        let reason = reason.filter(|_| !self.seen.contains(&sender));
        reason.unwrap_or(GapReason::Missed)
    }

    /// A new frame of this sender was read.
    pub(crate) fn saw(&mut self, sender: NodeId) {
        if self.seen.len() == SENDERS {
            *self = Self::default();
        }
        if self.reason.is_some() {
            self.seen.insert(sender);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hole_before_the_first_frame_of_a_sender_has_the_reason_of_the_loss() {
        let (mut holes, one, other) = (Holes::default(), NodeId::new(1), NodeId::new(2));
        assert_eq!(holes.reason(one), GapReason::Missed);
        holes.begin(GapReason::Trimmed);
        assert_eq!(holes.reason(one), GapReason::Trimmed);
        holes.saw(one);
        assert_eq!(holes.reason(one), GapReason::Missed);
        assert_eq!(holes.reason(other), GapReason::Trimmed);
    }
}
