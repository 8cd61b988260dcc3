//! The table of what became of every event, copy and count.

use std::fmt;

use crate::oracle::{Books, Fate};
use crate::traffic::Sent;

/// What is summed up over all senders and subscribers.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) taken: u64,
    pub(super) in_doubt: u64,
    pub(super) not_sent: u64,
    pub(super) books: Books,
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
        for fate in &sent.fates {
            match fate {
                Fate::Taken { .. } => self.taken += 1,
                Fate::Unknown => self.in_doubt += 1,
                Fate::NotSent => self.not_sent += 1,
            }
        }
    }

    /// Its lines; those that must be 0 say so.
    pub(super) fn notes(&self) -> Vec<String> {
        let books = &self.books;
        let zero = |count: u64, what: &str| format!("{count} {what} (must be 0)");
        vec![
            format!(
                "sent: {} taken by Redis, {} in doubt, {} not sent",
                self.taken, self.in_doubt, self.not_sent
            ),
            format!(
                "at all subscribers: {} due, {} received, {} lost and reported",
                books.due, books.received, books.reported
            ),
            zero(books.unreported, "lost and not reported"),
            zero(books.dropped, "lost on a connection that was good"),
            zero(books.twice, "handled twice"),
            zero(books.out_of_order, "handled out of order"),
            format!("{Forged}", Forged = Forged(self)),
            format!(
                "keys: {} counts, {} updates, {} changes of entries confirmed, {} in doubt",
                self.counted, self.updated, self.changes, self.steps_in_doubt
            ),
            zero(self.wrong_counts as u64, "counts that are wrong"),
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
            books,
            frames_forged,
            failures,
            ..
        } = self.0;
        write!(
            f,
            "forged: {frames_forged} frames ({failures} failures reported to the nodes), {} events \
             handled; forged copies hid {} events and repeated {}, forged restarts repeated {}",
            books.forged, books.hidden, books.replayed, books.restarted
        )
    }
}
