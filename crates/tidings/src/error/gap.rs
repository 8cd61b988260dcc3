//! A gap: events that were missed.

use std::fmt;
use std::sync::Arc;

use tidings_codec::NodeId;

/// Something may have been missed: read the truth again.
///
/// [`Bus::on_gap`](crate::Bus::on_gap) hears of each; without a handler each is logged. One outage
/// can be told twice: as a reconnect at once, and by each sender's numbers when it is heard again.
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// Whose events were missed; `None` when it may be anybody's.
    pub sender: Option<NodeId>,
    /// How many, summed up where gaps that are alike waited for a handler; `None` when that cannot
    /// be known. After a reconnect exact counts follow as the senders are heard again.
    pub missed: Option<u64>,
    /// How it came about.
    pub reason: GapReason,
}

impl Gap {
    /// A gap that no bus reported: `tidings_testkit::gap` makes them for unit tests.
    #[doc(hidden)]
    pub fn for_tests(sender: Option<NodeId>, missed: Option<u64>, reason: GapReason) -> Self {
        Self {
            sender,
            missed,
            reason,
        }
    }
}

/// How events came to be missed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapReason {
    /// The connection was lost and is back; in between nothing was heard.
    Reconnected,
    /// A sender's numbers jumped: what lies between was published and not received here, or could
    /// never be published. Where they went back (the sender began again at 1, or another one used
    /// its name), how many is not known. Nor is it, and whose they were neither, where more senders
    /// were received than can be remembered.
    Missed,
    /// The queue of this one handler was full, so it did not get them. Others did.
    Overflow {
        /// The handler, as `name (type)`.
        handler: Arc<str>,
    },
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
        match &self.reason {
            GapReason::Reconnected => f.write_str(" may have been missed while disconnected"),
            GapReason::Missed => f.write_str(" did not arrive"),
            GapReason::Overflow { handler } => write!(f, " did not fit the queue of {handler}"),
        }
    }
}
