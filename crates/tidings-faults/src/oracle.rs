//! Checks one subscriber and one sender: every event must be received once, in order, or counted in
//! a gap. A plain function of plain values.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

mod audit;
mod keys;
mod members;

pub(crate) use audit::{Audit, FORGED, GapReport, Micros, Receipt, SenderLog, SubscriberLog};
pub(crate) use keys::{Steps, Values, check_steps, differing};
pub(crate) use members::{Disturbance, may_be_gone};

/// The result of one send, as its sender knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SendResult {
    /// Redis acknowledged it under this number, and this many connections received it.
    Published { number: u64, receivers: Option<u64> },
    /// Certainly not published.
    NotSent,
    /// Possibly published.
    Unknown,
}

/// An event that was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// The payload, which counts from 0.
    pub(crate) tick: u64,
    /// The sequence number that the sending bus gave it.
    pub(crate) number: u64,
}

/// The events of one sender and one subscriber.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account<'a> {
    /// By tick.
    pub(crate) results: &'a [SendResult],
    /// In the order of handling.
    pub(crate) received: &'a [Received],
    /// The counts of all gaps of this sender, in order; `None` for a gap without a count.
    pub(crate) gaps: &'a [Option<u64>],
}

/// Returns the number of sends that were reported as published although no connection received
/// them.
pub(crate) fn published_to_nobody(results: &[SendResult]) -> usize {
    let by_nobody = |result: &&SendResult| {
        matches!(
            result,
            SendResult::Published {
                receivers: Some(0),
                ..
            }
        )
    };
    results.iter().filter(by_nobody).count()
}

/// A violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    NothingReceived,
    /// More events were lost than reported.
    Unnoticed {
        lost: u64,
        reported: u64,
    },
    /// More events were reported than lost.
    Overstated {
        lost: u64,
        reported: u64,
    },
    /// A gap in the numbers has no count.
    Uncounted,
    Twice {
        tick: u64,
    },
    OutOfOrder {
        after: u64,
        number: u64,
    },
    /// It was received, and its sender was told that it was not sent.
    ReceivedButNotSent {
        tick: u64,
    },
    /// It arrived under another number than its sender was told.
    Renumbered {
        tick: u64,
    },
}

impl Account<'_> {
    /// Returns all violations.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut findings = self.check_results();
        findings.extend(self.check_order());
        findings.extend(self.check_count());
        findings
    }

    /// Returns the number of events, from the first one received to the last one sent, that were
    /// not received.
    pub(crate) fn lost(&self) -> u64 {
        let numbers: BTreeSet<u64> = self
            .received
            .iter()
            .map(|received| received.number)
            .collect();
        let Some(first) = numbers.first() else {
            return 0;
        };
        let given = self.last() + 1 - first;
        given - numbers.len() as u64
    }

    /// Returns the number of events that gaps reported.
    pub(crate) fn reported(&self) -> u64 {
        self.gaps.iter().flatten().sum()
    }

    /// The highest number that the sender or the subscriber knows.
    fn last(&self) -> u64 {
        let taken = self.results.iter().filter_map(|result| match result {
            SendResult::Published { number, .. } => Some(*number),
            SendResult::NotSent | SendResult::Unknown => None,
        });
        let received = self.received.iter().map(|received| received.number);
        taken.chain(received).max().unwrap_or(0)
    }

    fn check_count(&self) -> Vec<Finding> {
        if self.received.is_empty() {
            return vec![Finding::NothingReceived];
        }
        let (lost, reported) = (self.lost(), self.reported());
        let mut findings = Vec::new();
        if lost > reported {
            findings.push(Finding::Unnoticed { lost, reported });
        } else if lost < reported {
            findings.push(Finding::Overstated { lost, reported });
        }
        if self.gaps.contains(&None) {
            findings.push(Finding::Uncounted);
        }
        findings
    }

    fn check_order(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let (mut ticks, mut numbers) = (BTreeSet::new(), BTreeSet::new());
        let mut highest = 0;
        for Received { tick, number } in self.received.iter().copied() {
            if !ticks.insert(tick) || !numbers.insert(number) {
                findings.push(Finding::Twice { tick });
            } else if number < highest {
                let after = highest;
                findings.push(Finding::OutOfOrder { after, number });
            }
            highest = highest.max(number);
        }
        findings
    }

    fn check_results(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for Received { tick, number } in self.received.iter().copied() {
            let result = usize::try_from(tick)
                .ok()
                .and_then(|at| self.results.get(at));
            match result {
                Some(SendResult::NotSent) => findings.push(Finding::ReceivedButNotSent { tick }),
                Some(SendResult::Published { number: told, .. }) if *told != number => {
                    findings.push(Finding::Renumbered { tick });
                }
                _ => {}
            }
        }
        findings
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingReceived => f.write_str("nothing was received"),
            Self::Unnoticed { lost, reported } => {
                write!(f, "{lost} were lost, and {reported} reported")
            }
            Self::Overstated { lost, reported } => {
                write!(f, "only {lost} were lost, and {reported} reported")
            }
            Self::Uncounted => f.write_str("a gap in the numbers has no count"),
            Self::Twice { tick } => write!(f, "tick {tick} was handled twice"),
            Self::OutOfOrder { after, number } => {
                write!(f, "number {number} was handled after {after}")
            }
            Self::ReceivedButNotSent { tick } => {
                write!(
                    f,
                    "tick {tick} was received, and its sender was told that it was not sent"
                )
            }
            Self::Renumbered { tick } => {
                write!(
                    f,
                    "tick {tick} was received under another number than its sender was told"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(number: u64) -> SendResult {
        let receivers = Some(2);
        SendResult::Published { number, receivers }
    }

    /// Ticks 0 to 4, numbered 1 to 5, all of them published.
    fn results() -> Vec<SendResult> {
        (1..=5).map(taken).collect()
    }

    fn received(numbers: &[u64]) -> Vec<Received> {
        let received = |number: &u64| Received {
            tick: number - 1,
            number: *number,
        };
        numbers.iter().map(received).collect()
    }

    fn findings(
        results: &[SendResult],
        received: &[Received],
        gaps: &[Option<u64>],
    ) -> Vec<Finding> {
        let account = Account {
            results,
            received,
            gaps,
        };
        account.findings()
    }

    #[test]
    fn events_received_once_in_order_or_counted_in_a_gap_are_no_violation() {
        assert_eq!(findings(&results(), &received(&[1, 2, 3, 4, 5]), &[]), []);
        assert_eq!(findings(&results(), &received(&[1, 5]), &[Some(3)]), []);
        assert_eq!(
            findings(&results(), &received(&[1, 3, 5]), &[Some(1), Some(1)]),
            []
        );
        // Events before the subscription are not lost.
        assert_eq!(findings(&results(), &received(&[4, 5]), &[]), []);
    }

    #[test]
    fn lost_events_at_the_end_must_be_reported() {
        let lost = Finding::Unnoticed {
            lost: 2,
            reported: 0,
        };
        assert_eq!(findings(&results(), &received(&[1, 2, 3]), &[]), [lost]);
        assert_eq!(findings(&results(), &received(&[1, 2, 3]), &[Some(2)]), []);
    }

    #[test]
    fn an_unreported_loss_is_found() {
        let lost = Finding::Unnoticed {
            lost: 1,
            reported: 0,
        };
        assert_eq!(findings(&results(), &received(&[1, 2, 4, 5]), &[]), [lost]);
    }

    #[test]
    fn a_wrong_count_is_found() {
        let few = Finding::Unnoticed {
            lost: 3,
            reported: 2,
        };
        let many = Finding::Overstated {
            lost: 3,
            reported: 4,
        };
        assert_eq!(findings(&results(), &received(&[1, 5]), &[Some(2)]), [few]);
        assert_eq!(findings(&results(), &received(&[1, 5]), &[Some(4)]), [many]);
        assert_eq!(
            findings(&results(), &received(&[1, 5]), &[None, Some(3)]),
            [Finding::Uncounted]
        );
    }

    #[test]
    fn an_event_handled_twice_is_found() {
        let double = Finding::Twice { tick: 1 };
        assert_eq!(
            findings(&results(), &received(&[1, 2, 2, 3, 4, 5]), &[]),
            [double]
        );
    }

    #[test]
    fn one_tick_under_two_numbers_is_handled_twice() {
        let mut twice = received(&[1, 2, 3, 4, 5]);
        twice.push(Received { tick: 4, number: 6 });
        let found = findings(&results(), &twice, &[]);
        assert!(found.contains(&Finding::Twice { tick: 4 }), "{found:?}");
    }

    #[test]
    fn events_out_of_order_are_found() {
        let inversion = Finding::OutOfOrder {
            after: 3,
            number: 2,
        };
        assert_eq!(
            findings(&results(), &received(&[1, 3, 2, 4, 5]), &[]),
            [inversion]
        );
    }

    #[test]
    fn a_subscriber_that_received_nothing_is_found() {
        assert_eq!(findings(&results(), &[], &[]), [Finding::NothingReceived]);
    }

    #[test]
    fn a_send_with_a_wrong_result_is_found() {
        let mut results = results();
        results[1] = SendResult::NotSent;
        results[2] = taken(7);
        results[3] = SendResult::Unknown;
        results[4] = SendResult::Published {
            number: 5,
            receivers: Some(0),
        };
        let found = findings(&results, &received(&[1, 2, 3, 4, 5]), &[Some(2)]);
        assert_eq!(
            found,
            [
                Finding::ReceivedButNotSent { tick: 1 },
                Finding::Renumbered { tick: 2 },
            ]
        );
        assert_eq!(published_to_nobody(&results), 1);
    }
}
