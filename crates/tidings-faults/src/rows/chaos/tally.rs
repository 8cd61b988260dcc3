//! The counts of events, copies and shared state in the table.

use std::fmt;

use crate::oracle::{Audit, SendResult};
use crate::traffic::Sent;

/// The sums over all senders and subscribers.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) taken: u64,
    pub(super) in_doubt: u64,
    pub(super) not_sent: u64,
    pub(super) audit: Audit,
    pub(super) frames_forged: u64,
    pub(super) failures: u64,
    pub(super) counted: u64,
    pub(super) updated: u64,
    pub(super) changes: u64,
    pub(super) steps_in_doubt: u64,
    pub(super) wrong_counts: usize,
    pub(super) copies: usize,
    pub(super) differing: usize,
    pub(super) members: usize,
    pub(super) gone: usize,
}

impl Tally {
    pub(super) fn add_sent(&mut self, sent: &Sent) {
        for result in &sent.results {
            match result {
                SendResult::Published { .. } => self.taken += 1,
                SendResult::Unknown => self.in_doubt += 1,
                SendResult::NotSent => self.not_sent += 1,
            }
        }
    }

    /// Returns the lines of the table; those that must be 0 say so.
    pub(super) fn notes(&self) -> Vec<String> {
        let audit = &self.audit;
        let zero = |count: u64, what: &str| format!("{count} {what} (must be 0)");
        vec![
            format!(
                "sent: {} published, {} unknown, {} not sent",
                self.taken, self.in_doubt, self.not_sent
            ),
            format!(
                "all subscribers: {} due, {} received, {} lost and reported",
                audit.due, audit.received, audit.reported
            ),
            zero(audit.unreported, "lost and not reported"),
            zero(audit.dropped, "lost on a healthy connection"),
            zero(audit.twice, "handled twice"),
            zero(audit.out_of_order, "handled out of order"),
            format!("{Forged}", Forged = Forged(self)),
            format!(
                "shared state: {} counts, {} updates, {} changes of entries confirmed, {} unconfirmed",
                self.counted, self.updated, self.changes, self.steps_in_doubt
            ),
            zero(self.wrong_counts as u64, "wrong counts"),
            zero(
                self.differing as u64,
                &format!("copies that differ, of {}", self.copies),
            ),
            zero(
                self.gone as u64,
                &format!("of {} members declared gone", self.members),
            ),
        ]
    }
}

struct Forged<'a>(&'a Tally);

impl fmt::Display for Forged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            audit,
            frames_forged,
            failures,
            ..
        } = self.0;
        write!(
            f,
            "forged: {frames_forged} frames ({failures} failures reported to the nodes), {} events \
             handled; forged copies hid {} events and repeated {}, forged restarts repeated {}",
            audit.forged, audit.hidden, audit.replayed, audit.restarted
        )
    }
}
