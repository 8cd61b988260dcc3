//! A gap: events that were missed.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use tidings_codec::NodeId;

/// Events that were missed, or may have been: reload from the source of truth.
///
/// [`Bus::on_gap`](crate::Bus::on_gap) receives each gap; without a handler each is logged. One
/// outage can be reported twice: at the reconnect, and for each sender when its next event arrives.
///
/// It serializes under the names of its fields:
/// `{"sender": "…", "missed": 3, "reason": {"kind": "overflow", "handler": "…"}}`.
///
/// ```
/// use tidings::{Gap, GapReason};
///
/// async fn miss(gap: Gap) {
///     match gap.reason {
///         GapReason::Overflow { handler } => println!("{handler} is too slow"),
///         _ => println!("{:?} events of {:?} are missing", gap.missed, gap.sender),
///     }
/// }
/// # let _ = miss;
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Gap {
    /// The sender of the missed events; `None` if it is not known.
    pub sender: Option<NodeId>,
    /// The number of missed events; `None` if it is not known. Equal gaps that wait for a handler
    /// are added up. After a reconnect exact numbers follow, with the next event of each sender.
    pub missed: Option<u64>,
    /// The reason.
    pub reason: GapReason,
}

impl Gap {
    /// Creates a gap for unit tests, for `tidings_testkit::gap`.
    #[doc(hidden)]
    pub fn for_tests(sender: Option<NodeId>, missed: Option<u64>, reason: GapReason) -> Self {
        Self {
            sender,
            missed,
            reason,
        }
    }

    /// Adds the count of a gap that is otherwise equal. Returns false if it is not.
    pub(crate) fn add(&mut self, gap: &Self) -> bool {
        if *self == *gap && gap.missed.is_none() {
            return true;
        }
        let is_alike = self.sender == gap.sender && self.reason == gap.reason;
        match (&mut self.missed, gap.missed) {
            (Some(sum), Some(more)) if is_alike => {
                *sum = sum.saturating_add(more);
                true
            }
            _ => false,
        }
    }

    /// Covers another gap, too: loses detail but no gap.
    pub(crate) fn widen(&mut self, gap: &Self) {
        self.sender = self.sender.filter(|sender| Some(*sender) == gap.sender);
        self.missed = None;
        if self.reason != gap.reason {
            self.reason = wider(&self.reason, &gap.reason);
        }
    }
}

/// The reason that covers two gaps with different reasons. Overflows of two handlers become a gap of
/// the whole process, so that each handler reloads.
fn wider(one: &GapReason, other: &GapReason) -> GapReason {
    match (one, other) {
        (GapReason::Diverged { .. }, _) | (_, GapReason::Diverged { .. }) => {
            GapReason::Diverged { forgotten: None }
        }
        (GapReason::Reconnected, _) | (_, GapReason::Reconnected) => GapReason::Reconnected,
        _ => GapReason::Missed,
    }
}

/// The reason for which events were missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum GapReason {
    /// The connection was lost, and is back. In between nothing was received.
    Reconnected,
    /// The numbers of a sender jumped: the events in between were published and not received here,
    /// or could not be published. If the numbers went back (the sender began again at 1, or another
    /// one used its id), `missed` is `None`. With more senders than can be remembered, `sender` is
    /// `None` as well.
    Missed,
    /// The queue of this handler was full, and dropped them. Other handlers received them.
    Overflow {
        /// The handler, as `name (type)`.
        #[serde(serialize_with = "text")]
        handler: Arc<str>,
    },
    /// The journal was trimmed before this bus had read so far: by its
    /// [`max_age`](crate::Journal::max_age) or its [`max_bytes`](crate::Journal::max_bytes). It is
    /// reported once when that is found, without a number, and once for each sender with the number,
    /// when its next event is read.
    Trimmed,
    /// The journal is another one: it was deleted, or Redis restarted without its data. It is reported
    /// as [`Trimmed`](Self::Trimmed) is.
    JournalLost,
    /// Redis has lost events that it had accepted and that were in the journal: after a failover to a
    /// replica that did not have them, or a restart from an older file. Processes
    /// that read the journal later do not receive these events. If `forgotten` has their numbers, this
    /// process misses nothing.
    Diverged {
        /// The sequence numbers of those events of the gap's sender, which were received here. `None`
        /// if it is not known which they are, and if events may be missing here as well.
        forgotten: Option<RangeInclusive<u64>>,
    },
    /// They were sent only to a node that read for the [durable name](crate::Journal::durable) of this
    /// bus before, and that stopped before it had stored that its handlers finished them. This bus does
    /// not handle them.
    Predecessor {
        /// The node to which they were sent, by its id or by its role.
        node: NodeId,
    },
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.missed {
            Some(1) => f.write_str("1 event")?,
            Some(missed) => write!(f, "{missed} events")?,
            None => f.write_str("an unknown number of events")?,
        }
        if let Some(sender) = self.sender {
            write!(f, " of node {sender}")?;
        }
        let were = match self.missed {
            Some(1) => "was",
            _ => "were",
        };
        match &self.reason {
            GapReason::Reconnected => f.write_str(" may have been missed while disconnected"),
            GapReason::Missed => f.write_str(" did not arrive"),
            GapReason::Overflow { handler } => write!(f, " did not fit the queue of {handler}"),
            GapReason::Trimmed if self.missed.is_none() => {
                f.write_str(" may have been trimmed from the journal unread")
            }
            GapReason::Trimmed => write!(f, " {were} trimmed from the journal unread"),
            GapReason::JournalLost => write!(f, " {were} in a journal that redis has lost"),
            GapReason::Diverged {
                forgotten: Some(numbers),
            } => {
                let (first, last) = (numbers.start(), numbers.end());
                write!(
                    f,
                    " (numbers {first} to {last}) {were} received here and lost by redis"
                )
            }
            GapReason::Predecessor { node } => write!(
                f,
                " {were} sent only to node {node}, which read for this durable name before, and may not \
                 have handled them"
            ),
            GapReason::Diverged { forgotten: None } => {
                f.write_str(" that redis had accepted are not in the journal any more")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    #[test]
    fn only_a_trim_with_a_number_is_certain() {
        let text = |missed| Gap::for_tests(None, missed, GapReason::Trimmed).to_string();
        assert!(text(Some(3)).starts_with("3 events were trimmed"));
        assert!(text(Some(1)).starts_with("1 event was trimmed"));
        assert!(text(None).contains("events may have been trimmed"));
    }

    #[test]
    fn a_gap_serializes_under_the_names_of_its_fields() {
        let gap = |missed, reason| Gap::for_tests(Some(NodeId::new(7)), missed, reason);
        let handler = "tick (clock)".into();
        for (gap, missed, reason) in [
            (
                gap(Some(3), GapReason::Overflow { handler }),
                json!(3),
                json!({"kind": "overflow", "handler": "tick (clock)"}),
            ),
            (
                gap(None, GapReason::Reconnected),
                json!(null),
                json!({"kind": "reconnected"}),
            ),
        ] {
            let sender = "00000000000000000000000000000007";
            let expected = json!({"sender": sender, "missed": missed, "reason": reason});
            assert_eq!(to_value(gap).unwrap(), expected);
        }
    }
}
