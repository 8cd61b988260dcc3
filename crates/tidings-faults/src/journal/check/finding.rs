//! The violations that a check finds.

use std::fmt;

/// The numbers that a finding shows.
const SHOWN: usize = 5;

/// Violations of one kind, of one sender or of one subscriber and sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The sender, or the subscriber and the sender.
    pub subject: String,
    /// The violated rule.
    pub violation: Violation,
    /// The sequence numbers of the events.
    pub numbers: Vec<u64>,
}

/// The rule that an event violates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// Not received, and no gap counts it.
    LostInSilence,
    /// Gaps count more events than were missed.
    Overstated,
    /// Not received and counted by a gap, although the journal has it.
    NotFilled,
    /// Handled again.
    Duplicate,
    /// Handled after a later event of its sender.
    OutOfOrder,
    /// Received and forgotten by Redis, and the subscriber was not told.
    ForgottenInSilence,
    /// Acknowledged and not in the journal, and not every subscriber was told.
    Unaccounted,
    /// In the journal or received, and its sender was told that it was not sent.
    Denied,
    /// In the journal or received under another number than its sender was told.
    Renumbered,
    /// In the journal, and not at the position that its sender was told.
    Misplaced,
    /// The last send, after the last fault, was not acknowledged.
    LastNotAccepted,
    /// Nothing of the sender was received.
    NothingReceived,
    /// A gap was reported for a reason that did not exist.
    Unfounded(&'static str),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            subject,
            violation,
            numbers,
        } = self;
        write!(f, "{subject}: {}: {violation}", numbers.len())?;
        let shown: Vec<_> = numbers.iter().take(SHOWN).map(u64::to_string).collect();
        let more = if numbers.len() > SHOWN { ", …" } else { "" };
        write!(f, " ({}{more})", shown.join(", "))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LostInSilence => "lost, and not reported",
            Self::Overstated => "reported as missed, and not missed",
            Self::NotFilled => "reported as missed, and in the journal",
            Self::Duplicate => "handled twice",
            Self::OutOfOrder => "handled out of order",
            Self::ForgottenInSilence => "received and forgotten by Redis, and not reported",
            Self::Unaccounted => "acknowledged and forgotten by Redis, and not reported",
            Self::Denied => "published, and its sender was told that it was not sent",
            Self::Renumbered => "published under another number than its sender was told",
            Self::Misplaced => "not at the position that its sender was told",
            Self::LastNotAccepted => "not acknowledged after the last fault",
            Self::NothingReceived => "nothing was received",
            Self::Unfounded(reason) => return write!(f, "a gap without a cause: {reason}"),
        })
    }
}
