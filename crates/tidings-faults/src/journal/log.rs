//! The logs of a round: what senders were told, what subscribers received, and what the journal has
//! in the end.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::{JournalPosition, NodeId};

/// The result of one send, as its sender knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Redis acknowledged it, under this number and at this position.
    Accepted {
        /// The sequence number.
        number: u64,
        /// The position in the journal.
        position: JournalPosition,
    },
    /// Certainly not in the journal.
    NotSent,
    /// Possibly in the journal.
    Unknown,
}

/// The sends of one bus.
#[derive(Clone, Debug)]
pub struct SenderLog {
    /// The id of the bus.
    pub id: NodeId,
    /// By tick: the payload of an event counts from 0.
    pub told: Vec<Told>,
    /// True if no send followed the last fault. The numbers of its last sends may be unknown then.
    pub is_silent: bool,
}

/// The events and gaps of one subscriber.
#[derive(Clone, Debug, Default)]
pub struct SubscriberLog {
    /// For findings.
    pub name: String,
    /// True if it has a durable name, which begins at the start of the journal.
    pub is_durable: bool,
    /// In the order in which its handlers were called.
    pub records: Vec<Record>,
}

/// A call of a subscriber's handlers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An event was handled.
    Handled(Handled),
    /// A gap was reported.
    Reported(Reported),
    /// Another process went on in its place, from a stored position.
    Restarted,
}

/// An event that was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handled {
    /// The sender.
    pub sender: NodeId,
    /// The sequence number.
    pub number: u64,
    /// The payload.
    pub tick: u64,
    /// The position in the journal.
    pub position: JournalPosition,
    /// The time since the start of the round.
    pub at: Duration,
}

/// A gap that was reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The sender, if it is known.
    pub sender: Option<NodeId>,
    /// The number of missed events, if it is known.
    pub missed: Option<u64>,
    /// The reason.
    pub reason: Reason,
    /// The time since the start of the round.
    pub at: Duration,
}

/// The reason of a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The connection for other events than those of the journal was lost.
    Reconnected,
    /// Numbers that are not in the journal.
    Missed,
    /// The queue of a handler was full.
    Overflow,
    /// The journal was trimmed before it was read.
    Trimmed,
    /// The journal is another one.
    JournalLost,
    /// Redis has forgotten the events with these numbers, which were received.
    Forgotten(RangeInclusive<u64>),
    /// Redis has forgotten events, and it is not known which.
    Diverged,
    /// A reason that this program does not know.
    Other,
}

impl Reason {
    /// The name in findings.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reconnected => "reconnected",
            Self::Missed => "missed",
            Self::Overflow => "overflow",
            Self::Trimmed => "trimmed",
            Self::JournalLost => "journal lost",
            Self::Forgotten(_) => "diverged",
            Self::Diverged => "diverged, of unknown size",
            Self::Other => "another reason",
        }
    }
}

/// The journal in the end.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    /// All events, in the order of the stream.
    pub events: Vec<Remaining>,
    /// Entries below this position may have been trimmed.
    pub floor: JournalPosition,
    /// The journals that were deleted before.
    pub deleted: Vec<Deleted>,
}

impl Remains {
    /// Returns whether an entry at this position may have been trimmed from this journal, or from one
    /// that was deleted.
    pub fn may_be_trimmed(&self, position: JournalPosition) -> bool {
        let mut floors = self.deleted.iter().map(|deleted| deleted.floor);
        position < self.floor || floors.any(|floor| position < floor)
    }
}

/// A journal that was deleted.
#[derive(Clone, Debug, Default)]
pub struct Deleted {
    /// Its events, shortly before.
    pub events: Vec<Remaining>,
    /// Entries below this position may have been trimmed.
    pub floor: JournalPosition,
    /// The milliseconds since 1970 at which it was gone, by the clock of positions.
    pub until: u64,
}

impl Deleted {
    /// Returns whether the event was in this journal.
    pub fn has(&self, handled: &Handled) -> bool {
        // In the order of the stream.
        let events = &self.events;
        let from = events.partition_point(|event| event.position < handled.position);
        let at_position = events[from..].iter();
        let mut at_position = at_position.take_while(|event| event.position == handled.position);
        at_position.any(|event| event.sender == handled.sender && event.number == handled.number)
    }
}

/// An event of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// The id of its entry.
    pub position: JournalPosition,
    /// The sender.
    pub sender: NodeId,
    /// The sequence number.
    pub number: u64,
    /// The payload.
    pub tick: u64,
}

/// The faults of a round, as far as they excuse a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Happened {
    /// Redis may have forgotten acknowledged events.
    pub forgot: bool,
    /// The journal was deleted.
    pub lost_journal: bool,
    /// The retention may have passed before a subscriber had read so far.
    pub trimmed: bool,
}
