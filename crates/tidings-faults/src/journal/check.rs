//! Checks every event of a round: received once and in order, or reported as missed; and what Redis
//! forgot, reported to every subscriber that had received it. Plain functions of plain values.

mod finding;
mod pair;

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::Serialize;
use tidings::{JournalPosition, NodeId};

pub use self::finding::{Finding, Violation};
use self::pair::Pair;
use crate::journal::log::{
    Happened, Reason, Record, Remaining, Remains, Reported, SenderLog, SubscriberLog, Told,
};

#[cfg(test)]
mod tests;

/// All that is known of a round.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The logs of all senders.
    pub senders: &'a [SenderLog],
    /// The logs of all subscribers, which began before the senders.
    pub subscribers: &'a [SubscriberLog],
    /// The journal in the end.
    pub remains: &'a Remains,
    /// The faults.
    pub happened: Happened,
}

/// The result of a check.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// The sums over all senders and subscribers.
    pub counts: Counts,
    /// The violations.
    pub findings: Vec<Finding>,
}

/// Sums over all senders and subscribers. The violations are counted among the [findings](Finding).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Sends that Redis acknowledged.
    pub accepted: u64,
    /// Sends that ended as not sent.
    pub not_sent: u64,
    /// Sends that ended with an unknown result.
    pub unknown: u64,
    /// Events that Redis acknowledged and had forgotten in the end.
    pub forgotten: u64,
    /// Events that were handled, by all subscribers.
    pub received: u64,
    /// Of those, events that Redis had forgotten in the end: each was reported.
    pub received_and_forgotten: u64,
    /// Numbers that were not received and that a gap reported.
    pub missed: u64,
    /// Gaps that were reported.
    pub gaps: u64,
    /// Of those, gaps that say that Redis has forgotten certain events.
    pub diverged: u64,
    /// Of those, gaps that say that Redis has forgotten events, and not which.
    pub diverged_unknown: u64,
    /// Of those, gaps that say that the journal is another one.
    pub journals_lost: u64,
}

/// The events of one sender in a journal: by number, their positions and ticks.
type InJournal = BTreeMap<u64, Vec<(JournalPosition, u64)>>;

/// Checks a round.
pub fn audit(account: &Account<'_>) -> Audit {
    let mut audit = Audit::default();
    let remains = account.remains;
    let mut journals = by_sender(&remains.events);
    let mut deleted = by_sender(remains.deleted.iter().flat_map(|one| &one.events));
    for sender in account.senders {
        let in_journal = journals.remove(&sender.id).unwrap_or_default();
        let deleted = deleted.remove(&sender.id).unwrap_or_default();
        audit.add_sender(sender, &in_journal, &deleted, account);
        for subscriber in account.subscribers {
            let pair = Pair {
                sender,
                subscriber,
                in_journal: &in_journal,
                deleted: &deleted,
                remains,
                happened: account.happened,
            };
            pair.check(&mut audit);
        }
    }
    for subscriber in account.subscribers {
        audit.add_reports(subscriber, account.happened);
    }
    audit
}

fn by_sender<'a>(events: impl IntoIterator<Item = &'a Remaining>) -> BTreeMap<NodeId, InJournal> {
    let mut journals: BTreeMap<NodeId, InJournal> = BTreeMap::new();
    for event in events {
        let of_sender = journals.entry(event.sender).or_default();
        let copies = of_sender.entry(event.number).or_default();
        copies.push((event.position, event.tick));
    }
    journals
}

impl Audit {
    /// Counts the results of a sender, and compares them with the journals.
    fn add_sender(
        &mut self,
        sender: &SenderLog,
        in_journal: &InJournal,
        deleted: &InJournal,
        account: &Account<'_>,
    ) {
        let all = in_journal.iter().chain(deleted);
        let ticks =
            all.flat_map(|(number, copies)| copies.iter().map(|(_, tick)| (*tick, *number)));
        let ticks: BTreeMap<u64, u64> = ticks.collect();
        let mut checked = Checked::new(format!("sender {}", sender.id), self);
        for (tick, told) in (0..).zip(&sender.told) {
            match told {
                Told::Accepted { number, position } => {
                    checked.audit.counts.accepted += 1;
                    let is_trimmed = account.remains.may_be_trimmed(*position);
                    let is_forgotten = !in_journal.contains_key(number) && !is_trimmed;
                    checked.audit.counts.forgotten += u64::from(is_forgotten);
                    let copies = in_journal
                        .get(number)
                        .into_iter()
                        .chain(deleted.get(number));
                    let copies: Vec<_> = copies.flatten().copied().collect();
                    // The entry may be trimmed or forgotten, and another copy of it be there.
                    let has_moved = is_trimmed || account.happened.forgot;
                    if let Some(violation) = misplaced(&copies, tick, *position)
                        .filter(|violation| *violation != Violation::Misplaced || !has_moved)
                    {
                        checked.add(violation, *number);
                    }
                }
                Told::NotSent => {
                    checked.audit.counts.not_sent += 1;
                    if let Some(number) = ticks.get(&tick) {
                        checked.add(Violation::Denied, *number);
                    }
                }
                Told::Unknown => checked.audit.counts.unknown += 1,
            }
        }
        let ends_in_doubt = !matches!(sender.told.last(), Some(Told::Accepted { .. }));
        if ends_in_doubt && !sender.is_silent {
            checked.add(Violation::LastNotAccepted, sender.told.len() as u64);
        }
        checked.end();
    }

    /// Looks for reports of faults that did not happen.
    fn add_reports(&mut self, subscriber: &SubscriberLog, happened: Happened) {
        let mut checked = Checked::new(format!("subscriber {}", subscriber.name), self);
        for report in subscriber.reports() {
            let is_excused = match &report.reason {
                // They are part of the account of their sender.
                Reason::Missed | Reason::Reconnected => true,
                Reason::Forgotten(_) | Reason::Diverged => happened.forgot,
                Reason::JournalLost => happened.lost_journal,
                Reason::Trimmed => happened.trimmed || subscriber.is_durable,
                Reason::Overflow | Reason::Other => false,
            };
            checked.audit.counts.add_gap(report);
            if !is_excused {
                let count = report.missed.unwrap_or(0);
                checked.add(Violation::Unfounded(report.reason.name()), count);
            }
        }
        checked.end();
    }
}

/// Compares the entries of a number with what its sender was told.
fn misplaced(
    copies: &[(JournalPosition, u64)],
    tick: u64,
    position: JournalPosition,
) -> Option<Violation> {
    if copies.is_empty() {
        None
    } else if copies.iter().all(|(_, other)| *other != tick) {
        Some(Violation::Renumbered)
    } else if copies.iter().all(|(other, _)| *other != position) {
        Some(Violation::Misplaced)
    } else {
        None
    }
}

impl SubscriberLog {
    fn reports(&self) -> impl Iterator<Item = &Reported> {
        self.records.iter().filter_map(|record| match record {
            Record::Reported(report) => Some(report),
            Record::Handled(_) | Record::Restarted => None,
        })
    }
}

/// Collects the violations of one subject, so that each kind is one finding.
struct Checked<'a> {
    subject: String,
    violations: BTreeMap<Violation, Vec<u64>>,
    audit: &'a mut Audit,
}

impl<'a> Checked<'a> {
    fn new(subject: String, audit: &'a mut Audit) -> Self {
        Self {
            subject,
            violations: BTreeMap::new(),
            audit,
        }
    }

    fn add(&mut self, violation: Violation, number: u64) {
        self.violations.entry(violation).or_default().push(number);
    }

    fn end(self) {
        for (violation, numbers) in self.violations {
            self.audit.findings.push(Finding {
                subject: self.subject.clone(),
                violation,
                numbers,
            });
        }
    }
}

impl Counts {
    fn add_gap(&mut self, report: &Reported) {
        self.gaps += 1;
        self.diverged += u64::from(matches!(report.reason, Reason::Forgotten(_)));
        // Each sender is told of by a gap of its own later.
        let is_first = report.sender.is_none();
        self.diverged_unknown += u64::from(is_first && report.reason == Reason::Diverged);
        self.journals_lost += u64::from(is_first && report.reason == Reason::JournalLost);
    }

    /// The number of sends.
    pub fn sent(&self) -> u64 {
        self.accepted + self.not_sent + self.unknown
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.not_sent += other.not_sent;
        self.unknown += other.unknown;
        self.forgotten += other.forgotten;
        self.received += other.received;
        self.received_and_forgotten += other.received_and_forgotten;
        self.missed += other.missed;
        self.gaps += other.gaps;
        self.diverged += other.diverged;
        self.diverged_unknown += other.diverged_unknown;
        self.journals_lost += other.journals_lost;
    }
}
