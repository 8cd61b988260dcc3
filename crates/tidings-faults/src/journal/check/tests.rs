use std::time::Duration;

use super::*;
use crate::journal::log::{Deleted, Handled};

const SENDER: NodeId = NodeId::new(7);

fn position(ms: u64) -> JournalPosition {
    let text = format!("{ms}-0");
    text.parse().unwrap()
}

/// A round of one sender and one subscriber. Tick 0 has number 1, at position 1-0, and so on.
struct Round {
    is_durable: bool,
    told: Vec<Told>,
    is_silent: bool,
    records: Vec<Record>,
    journal: Vec<u64>,
    floor: u64,
    deleted: Vec<u64>,
    happened: Happened,
}

impl Round {
    /// All of these events were accepted.
    fn of(accepted: u64) -> Self {
        Self {
            is_durable: false,
            told: (1..=accepted).map(accepted_as).collect(),
            is_silent: false,
            records: Vec::new(),
            journal: (1..=accepted).collect(),
            floor: 0,
            deleted: Vec::new(),
            happened: Happened::default(),
        }
    }

    fn receiving(mut self, numbers: impl IntoIterator<Item = u64>) -> Self {
        self.records.extend(numbers.into_iter().map(handled));
        self
    }

    fn reporting(mut self, missed: Option<u64>, reason: Reason) -> Self {
        self.records.push(Record::Reported(Reported {
            sender: missed.map(|_| SENDER),
            missed,
            reason,
            at: Duration::from_mins(1),
        }));
        self
    }

    /// Reports that Redis forgot these events.
    fn forgetting(self, numbers: std::ops::RangeInclusive<u64>) -> Self {
        let mut round = self.reporting(Some(0), Reason::Forgotten(numbers));
        round.happened.forgot = true;
        round
    }

    fn in_journal(mut self, numbers: impl IntoIterator<Item = u64>) -> Self {
        self.journal = numbers.into_iter().collect();
        self
    }

    fn audit(&self) -> Audit {
        let sender = SenderLog {
            id: SENDER,
            told: self.told.clone(),
            is_silent: self.is_silent,
        };
        let subscriber = SubscriberLog {
            name: "a".to_owned(),
            is_durable: self.is_durable,
            records: self.records.clone(),
        };
        let event = |number: &u64| Remaining {
            position: position(*number),
            sender: SENDER,
            number: *number,
            tick: number - 1,
        };
        let deleted = Deleted {
            events: self.deleted.iter().map(event).collect(),
            floor: position(0),
            until: self.deleted.last().copied().unwrap_or(0),
        };
        let remains = Remains {
            events: self.journal.iter().map(event).collect(),
            floor: position(self.floor),
            deleted: vec![deleted],
        };
        audit(&Account {
            senders: &[sender],
            subscribers: &[subscriber],
            remains: &remains,
            happened: self.happened,
        })
    }

    fn violations(&self) -> Vec<Violation> {
        let findings = self.audit().findings.into_iter();
        findings.map(|finding| finding.violation).collect()
    }
}

fn accepted_as(number: u64) -> Told {
    Told::Accepted {
        number,
        position: position(number),
    }
}

fn handled(number: u64) -> Record {
    Record::Handled(Handled {
        sender: SENDER,
        number,
        tick: number - 1,
        position: position(number),
        at: Duration::from_secs(number),
    })
}

#[test]
fn a_journal_of_which_everything_was_received_has_no_violation() {
    let round = Round::of(5).receiving(1..=5);
    let audit = round.audit();
    assert_eq!(audit.findings, []);
    assert_eq!((audit.counts.accepted, audit.counts.received), (5, 5));
}

#[test]
fn an_event_that_was_lost_in_silence_is_found() {
    let round = Round::of(5).receiving([1, 2, 4, 5]);
    let lost = [Violation::LostInSilence, Violation::NotFilled];
    assert_eq!(round.violations(), lost);
    assert_eq!(round.audit().findings[0].numbers, [3]);
}

#[test]
fn a_lost_end_is_found() {
    let round = Round::of(5).receiving(1..=3);
    assert!(round.violations().contains(&Violation::LostInSilence));
}

#[test]
fn an_event_that_is_not_in_the_journal_may_be_missed_if_a_gap_counts_it() {
    let mut round = Round::of(5).in_journal([1, 2, 4, 5]).receiving([1, 2]);
    round.told[2] = Told::NotSent;
    let round = round.reporting(Some(1), Reason::Missed).receiving([4, 5]);
    let audit = round.audit();
    assert_eq!(audit.findings, []);
    assert_eq!((audit.counts.not_sent, audit.counts.missed), (1, 1));
}

#[test]
fn a_gap_that_counts_an_event_of_the_journal_is_found() {
    let round = Round::of(5)
        .receiving([1, 2, 4, 5])
        .reporting(Some(1), Reason::Missed);
    assert_eq!(round.violations(), [Violation::NotFilled]);
}

#[test]
fn a_gap_that_counts_too_much_is_found() {
    let round = Round::of(5)
        .receiving(1..=5)
        .reporting(Some(2), Reason::Missed);
    assert_eq!(round.violations(), [Violation::Overstated]);
    assert_eq!(round.audit().findings[0].numbers.len(), 2);
}

#[test]
fn the_last_numbers_of_a_silent_sender_may_be_known_only_by_its_gaps() {
    let mut round = Round::of(3).receiving(1..=3);
    round.told.extend([Told::Unknown, Told::NotSent]);
    assert_eq!(round.violations(), [Violation::LastNotAccepted]);

    round.is_silent = true;
    assert_eq!(round.violations(), []);
    let round = round.reporting(Some(2), Reason::Missed);
    assert_eq!(round.violations(), []);
    let round = round.reporting(Some(1), Reason::Missed);
    assert_eq!(round.violations(), [Violation::Overstated]);
}

#[test]
fn a_duplicate_and_an_event_out_of_order_are_found() {
    let round = Round::of(3).receiving([1, 2, 2, 3]);
    assert_eq!(round.violations(), [Violation::Duplicate]);
    let round = Round::of(3).receiving([1, 3, 2]);
    assert_eq!(round.violations(), [Violation::OutOfOrder]);
}

#[test]
fn one_tick_under_two_numbers_is_a_duplicate() {
    let mut round = Round::of(3).receiving(1..=3);
    let Record::Handled(mut again) = handled(4) else {
        unreachable!()
    };
    again.tick = 2;
    round.records.push(Record::Handled(again));
    assert!(round.violations().contains(&Violation::Duplicate));
}

#[test]
fn a_process_that_goes_on_from_a_stored_position_may_repeat_events_in_order() {
    let restarted = |numbers: &[u64]| {
        let mut round = Round::of(5).receiving(1..=3);
        round.records.push(Record::Restarted);
        round.receiving(numbers.iter().copied())
    };
    assert_eq!(restarted(&[2, 3, 4, 5]).violations(), []);
    assert_eq!(restarted(&[4, 5]).violations(), []);
    assert_eq!(
        restarted(&[3, 2, 4, 5]).violations(),
        [Violation::OutOfOrder]
    );
    let lost = restarted(&[5]).violations();
    assert!(lost.contains(&Violation::LostInSilence), "{lost:?}");
}

#[test]
fn what_redis_forgot_must_be_reported_to_a_subscriber_that_had_received_it() {
    let round = || Round::of(5).in_journal([1, 2, 5]).receiving(1..=5);
    let mut silent = round();
    silent.happened.forgot = true;
    assert_eq!(
        silent.violations(),
        [Violation::ForgottenInSilence, Violation::Unaccounted]
    );
    assert_eq!(round().forgetting(3..=4).violations(), []);
    assert!(!round().forgetting(3..=3).violations().is_empty());
    let counts = round().forgetting(3..=4).audit().counts;
    assert_eq!((counts.forgotten, counts.received_and_forgotten), (2, 2));
}

#[test]
fn what_redis_forgot_may_be_missed_if_a_gap_counts_it() {
    let round = || Round::of(5).in_journal([1, 2, 5]).receiving([1, 2, 5]);
    assert!(round().violations().contains(&Violation::Unaccounted));
    assert_eq!(round().reporting(Some(2), Reason::Missed).violations(), []);
}

#[test]
fn a_report_of_unknown_size_covers_what_was_received_before_it() {
    let mut round = Round::of(5).in_journal([]).receiving(1..=5);
    round.happened.forgot = true;
    assert!(!round.violations().is_empty());
    let mut round = round.reporting(None, Reason::Diverged);
    assert_eq!(round.violations(), []);

    // An event that was handled long after it is not covered.
    let Record::Handled(mut late) = handled(6) else {
        unreachable!()
    };
    late.at = Duration::from_secs(90);
    round.records.push(Record::Handled(late));
    assert_eq!(round.violations(), [Violation::ForgottenInSilence]);
}

#[test]
fn a_lost_journal_covers_only_what_was_in_it() {
    let mut round = Round::of(5).in_journal([]).receiving(1..=5);
    round.deleted = (1..=5).collect();
    round.happened.lost_journal = true;
    assert!(!round.violations().is_empty());
    let mut round = round.reporting(None, Reason::JournalLost);
    assert_eq!(round.violations(), []);

    // Redis forgot event 3 before the journal was deleted.
    round.deleted = vec![1, 2, 4, 5];
    assert!(round.violations().contains(&Violation::ForgottenInSilence));
    // The subscriber learned of both at once.
    round.deleted = vec![1, 2];
    assert_eq!(round.violations(), []);
}

#[test]
fn a_process_whose_position_was_lost_with_the_journal_says_that_it_may_be_trimmed() {
    let mut round = Round::of(5).in_journal([4, 5]).receiving(1..=3);
    round.deleted = (1..=3).collect();
    round.happened.lost_journal = true;
    round.records.push(Record::Restarted);
    let mut silent = round.receiving(4..=5);
    assert!(silent.violations().contains(&Violation::ForgottenInSilence));
    silent.is_durable = true;
    let told = silent.reporting(None, Reason::Trimmed);
    assert_eq!(told.violations(), []);
}

#[test]
fn a_report_without_a_cause_is_found() {
    for reason in [
        Reason::Diverged,
        Reason::JournalLost,
        Reason::Trimmed,
        Reason::Overflow,
    ] {
        let name = reason.name();
        let round = Round::of(3).receiving(1..=3).reporting(None, reason);
        assert_eq!(round.violations(), [Violation::Unfounded(name)]);
    }
}

#[test]
fn entries_below_the_floor_may_have_been_trimmed() {
    let mut round = Round::of(5).in_journal([4, 5]).receiving(1..=5);
    round.floor = 4;
    assert_eq!(round.violations(), []);
    round.floor = 3;
    assert!(!round.violations().is_empty());
}

#[test]
fn a_send_with_a_wrong_result_is_found() {
    let mut round = Round::of(4).receiving(1..=4);
    round.told[1] = Told::NotSent;
    assert_eq!(round.violations(), [Violation::Denied, Violation::Denied]);
    round.told[1] = accepted_as(3);
    assert!(round.violations().contains(&Violation::Renumbered));
    round.told[1] = Told::Accepted {
        number: 2,
        position: position(9),
    };
    assert_eq!(round.violations(), [Violation::Misplaced]);
    round.told[1] = Told::Unknown;
    assert_eq!(round.violations(), []);
}

#[test]
fn a_subscriber_that_received_nothing_is_found() {
    let round = Round::of(3);
    let found = round.violations();
    assert!(found.contains(&Violation::NothingReceived), "{found:?}");
}
