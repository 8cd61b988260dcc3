//! Checks the events of one sender at one subscriber.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidings::JournalPosition;

use super::{Audit, Checked, InJournal, Violation};
use crate::journal::log::{
    Handled, Happened, Reason, Record, Remains, Reported, SenderLog, SubscriberLog, Told,
};

/// Another task reports gaps, so a report may come a little before the events that it concerns are
/// handled.
const SLACK: Duration = Duration::from_secs(3);

/// One sender and one subscriber.
pub(super) struct Pair<'a> {
    pub(super) sender: &'a SenderLog,
    pub(super) subscriber: &'a SubscriberLog,
    pub(super) in_journal: &'a InJournal,
    /// Its events in the journals that were deleted.
    pub(super) deleted: &'a InJournal,
    pub(super) remains: &'a Remains,
    pub(super) happened: Happened,
}

/// The events and reports of the sender that the subscriber has received.
#[derive(Default)]
struct Known {
    /// By number, the first time it was handled.
    received: BTreeMap<u64, Handled>,
    /// The sum of the counted gaps.
    missed: u64,
    /// The numbers that Redis forgot, as reported.
    forgotten: BTreeSet<u64>,
    /// The last report that Redis forgot events and that does not say which.
    diverged_at: Option<Duration>,
    /// By number, the index of the record.
    handled_at: BTreeMap<u64, usize>,
    /// The reports that the journal is another one.
    lost_journals: Vec<LostJournal>,
    has_restarted: bool,
}

/// A report that the journal is another one.
struct LostJournal {
    at: Duration,
    /// The number of records up to the last event of a deleted journal before the report. The
    /// subscriber could not know that Redis had forgotten later ones before.
    followed: usize,
}

impl Pair<'_> {
    pub(super) fn check(&self, audit: &mut Audit) {
        let name = &self.subscriber.name;
        let subject = format!("subscriber {name}, sender {}", self.sender.id);
        let mut checked = Checked::new(subject, audit);
        let known = self.replay(&mut checked);
        checked.audit.counts.received += known.received.len() as u64;
        if known.received.is_empty() && !self.in_journal.is_empty() {
            checked.add(Violation::NothingReceived, self.in_journal.len() as u64);
        } else {
            self.check_missing(&known, &mut checked);
        }
        self.check_forgotten(&known, &mut checked);
        checked.end();
    }

    /// Goes through the calls of the handlers.
    fn replay(&self, checked: &mut Checked<'_>) -> Known {
        let mut known = Known::default();
        // A process that went on from a stored position may repeat events, in order.
        let (mut highest, mut repeated) = (0, BTreeSet::new());
        let mut ticks = BTreeMap::new();
        let mut followed = 0;
        for (index, record) in self.subscriber.records.iter().enumerate() {
            if matches!(record, Record::Handled(handled) if self.is_of_deleted(handled)) {
                followed = index + 1;
            }
            match record {
                Record::Restarted => {
                    known.has_restarted = true;
                    highest = 0;
                    repeated.clear();
                }
                Record::Reported(report) => {
                    known.add_report(report, self.sender);
                    let is_lost = match report.reason {
                        Reason::JournalLost => true,
                        // All that a process knows whose name had no position any more.
                        Reason::Trimmed => known.has_restarted,
                        _ => false,
                    };
                    if is_lost {
                        let at = report.at;
                        known.lost_journals.push(LostJournal { at, followed });
                    }
                }
                Record::Handled(handled) if handled.sender == self.sender.id => {
                    let number = handled.number;
                    let first = ticks.entry(handled.tick).or_insert(number);
                    if !repeated.insert(number) || *first != number {
                        checked.add(Violation::Duplicate, number);
                    } else if number < highest {
                        checked.add(Violation::OutOfOrder, number);
                    }
                    highest = highest.max(number);
                    self.compare_with_told(handled, checked);
                    known.received.entry(number).or_insert(*handled);
                    known.handled_at.entry(number).or_insert(index);
                }
                Record::Handled(_) => {}
            }
        }
        known
    }

    fn compare_with_told(&self, handled: &Handled, checked: &mut Checked<'_>) {
        let tick = usize::try_from(handled.tick).ok();
        match tick.and_then(|tick| self.sender.told.get(tick)) {
            Some(Told::NotSent) => checked.add(Violation::Denied, handled.number),
            Some(Told::Accepted { number, .. }) if *number != handled.number => {
                checked.add(Violation::Renumbered, handled.number);
            }
            _ => {}
        }
    }

    /// Each number that was not received must be counted by a gap, and not be in the journal.
    fn check_missing(&self, known: &Known, checked: &mut Checked<'_>) {
        let absent = self.absent(known);
        let (lost, missed) = (absent.len() as u64, known.missed);
        checked.audit.counts.missed += lost.min(missed);
        let in_journal = absent
            .iter()
            .filter(|number| self.in_journal.contains_key(number));
        if known.has_restarted {
            // The next process does not know what is missing behind the stored position, unless the
            // journal has it.
            in_journal.for_each(|number| checked.add(Violation::LostInSilence, *number));
            return;
        }
        if !self.happened.trimmed {
            in_journal.for_each(|number| checked.add(Violation::NotFilled, *number));
        }
        for number in absent.iter().skip(known.missed()) {
            checked.add(Violation::LostInSilence, *number);
        }
        // A silent sender may have given more numbers than anybody was told.
        let mut excused = lost;
        if self.sender.is_silent {
            let unknown = (self.sender.told.len() as u64).saturating_sub(self.last(known));
            excused = excused.saturating_add(unknown);
        }
        for number in excused..missed {
            checked.add(Violation::Overstated, number - excused);
        }
    }

    /// The numbers, from the first one received to the last one given, that were not received.
    fn absent(&self, known: &Known) -> Vec<u64> {
        let Some((&first, _)) = known.received.first_key_value() else {
            return Vec::new();
        };
        let given = first..=self.last(known);
        given
            .filter(|number| !known.received.contains_key(number))
            .collect()
    }

    /// Each event that Redis forgot must be reported.
    fn check_forgotten(&self, known: &Known, checked: &mut Checked<'_>) {
        let is_in_journal = |number: u64| self.in_journal.contains_key(&number);
        for (&number, handled) in &known.received {
            if is_in_journal(number) {
                continue;
            }
            let is_told = self.is_told_of(known, handled);
            // It cannot be told from a forgotten one.
            if !is_told && self.remains.may_be_trimmed(handled.position) {
                continue;
            }
            checked.audit.counts.received_and_forgotten += 1;
            if !is_told {
                checked.add(Violation::ForgottenInSilence, number);
            }
        }
        let all_are_counted = known.missed >= self.absent(known).len() as u64;
        for told in &self.sender.told {
            let Told::Accepted { number, position } = *told else {
                continue;
            };
            if is_in_journal(number) || self.remains.may_be_trimmed(position) {
                continue;
            }
            let is_told = match known.received.get(&number) {
                Some(handled) => self.is_told_of(known, handled),
                None => all_are_counted || known.has_restarted,
            };
            if !is_told {
                checked.add(Violation::Unaccounted, number);
            }
        }
    }

    /// Returns whether a report says that Redis forgot this event.
    fn is_told_of(&self, known: &Known, handled: &Handled) -> bool {
        let is_before = |at: Option<Duration>| at.is_some_and(|at| at + SLACK >= handled.at);
        known.forgotten.contains(&handled.number)
            || is_before(known.diverged_at)
            || known.lost_journals.iter().any(|lost| {
                let is_late = known.handled_at[&handled.number] >= lost.followed;
                is_before(Some(lost.at)) && (is_late || self.was_deleted(handled))
            })
    }

    fn is_of_deleted(&self, handled: &Handled) -> bool {
        let deleted = &self.remains.deleted;
        deleted.iter().any(|deleted| deleted.has(handled))
    }

    /// Returns whether the event was in a journal that was deleted, or may have come to it after it
    /// was read.
    fn was_deleted(&self, handled: &Handled) -> bool {
        let is_there = self.deleted.get(&handled.number);
        let is_there = is_there.is_some_and(|copies| {
            copies
                .iter()
                .any(|(position, _)| *position == handled.position)
        });
        is_there
            || self.remains.deleted.iter().any(|deleted| {
                let last = deleted.events.last().map(|event| event.position);
                last < Some(handled.position) && milliseconds(handled.position) <= deleted.until
            })
    }

    /// The highest number that anybody knows.
    fn last(&self, known: &Known) -> u64 {
        let told = self.sender.told.iter().filter_map(|told| match told {
            Told::Accepted { number, .. } => Some(*number),
            Told::NotSent | Told::Unknown => None,
        });
        let of_journal = self.in_journal.last_key_value().map(|(number, _)| *number);
        let received = known.received.last_key_value().map(|(number, _)| *number);
        told.chain(of_journal).chain(received).max().unwrap_or(0)
    }
}

fn milliseconds(position: JournalPosition) -> u64 {
    let text = position.to_string();
    let time = text.split('-').next().and_then(|time| time.parse().ok());
    time.unwrap_or(u64::MAX)
}

impl Known {
    fn add_report(&mut self, report: &Reported, sender: &SenderLog) {
        let is_of_sender = report.sender == Some(sender.id);
        match &report.reason {
            Reason::Forgotten(numbers) if is_of_sender => self.forgotten.extend(numbers.clone()),
            Reason::Forgotten(_) | Reason::Reconnected => {}
            _ if is_of_sender => self.missed += report.missed.unwrap_or(0),
            _ => {}
        }
        if report.reason == Reason::Diverged {
            self.diverged_at = self.diverged_at.max(Some(report.at));
        }
    }

    fn missed(&self) -> usize {
        usize::try_from(self.missed).unwrap_or(usize::MAX)
    }
}
