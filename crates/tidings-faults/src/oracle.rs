//! Whether a hearer was told the truth about one sender: every event heard once, in order, or counted
//! in a gap. A plain function of plain values.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

mod keys;
mod members;
mod story;

pub(crate) use keys::{Steps, Values, check_steps, differing};
pub(crate) use members::{Disturbance, may_be_gone};
pub(crate) use story::{Books, FORGED, GapReport, Micros, Origin, Receipt, Witness};

/// What a sender was told of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fate {
    /// Redis took it under this number, and so many connections heard it.
    Taken { number: u64, receivers: Option<u64> },
    /// It certainly was not published.
    NotSent,
    /// It may have been published.
    Unknown,
}

/// One event as it was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// What the application sent: it counts from 0.
    pub(crate) tick: u64,
    /// What the sending bus called it.
    pub(crate) number: u64,
}

/// All that is known of one sender and one hearer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account<'a> {
    /// By tick.
    pub(crate) fates: &'a [Fate],
    /// In the order in which they were handled.
    pub(crate) heard: &'a [Heard],
    /// The counts of all gaps in this sender's numbers, in order; `None` for one that had no count.
    pub(crate) gaps: &'a [Option<u64>],
}

/// How many sends were reported as taken although nobody could hear them.
pub(crate) fn taken_by_nobody(fates: &[Fate]) -> usize {
    let by_nobody = |fate: &&Fate| {
        matches!(
            fate,
            Fate::Taken {
                receivers: Some(0),
                ..
            }
        )
    };
    fates.iter().filter(by_nobody).count()
}

/// What must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    NothingHeard,
    /// More were lost than was reported.
    Unnoticed {
        lost: u64,
        reported: u64,
    },
    /// More was reported than was lost.
    Overstated {
        lost: u64,
        reported: u64,
    },
    /// A gap in the numbers without a count.
    Uncounted,
    Twice {
        tick: u64,
    },
    OutOfOrder {
        after: u64,
        number: u64,
    },
    /// The sender was told that it was not sent.
    HeardAndNotSent {
        tick: u64,
    },
    /// It arrived under another number than the sender was told.
    Renumbered {
        tick: u64,
    },
}

impl Account<'_> {
    /// All that must not be.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut findings = self.check_fates();
        findings.extend(self.check_order());
        findings.extend(self.check_count());
        findings
    }

    /// How many numbers were given from the first one heard to the last, and not heard.
    pub(crate) fn lost(&self) -> u64 {
        let numbers: BTreeSet<u64> = self.heard.iter().map(|heard| heard.number).collect();
        let Some(first) = numbers.first() else {
            return 0;
        };
        let given = self.last() + 1 - first;
        given - numbers.len() as u64
    }

    /// How many the hearer was told of.
    pub(crate) fn reported(&self) -> u64 {
        self.gaps.iter().flatten().sum()
    }

    /// The highest number that anybody knows.
    fn last(&self) -> u64 {
        let taken = self.fates.iter().filter_map(|fate| match fate {
            Fate::Taken { number, .. } => Some(*number),
            Fate::NotSent | Fate::Unknown => None,
        });
        let heard = self.heard.iter().map(|heard| heard.number);
        taken.chain(heard).max().unwrap_or(0)
    }

    fn check_count(&self) -> Vec<Finding> {
        if self.heard.is_empty() {
            return vec![Finding::NothingHeard];
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
        for Heard { tick, number } in self.heard.iter().copied() {
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

    fn check_fates(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for Heard { tick, number } in self.heard.iter().copied() {
            let fate = usize::try_from(tick).ok().and_then(|at| self.fates.get(at));
            match fate {
                Some(Fate::NotSent) => findings.push(Finding::HeardAndNotSent { tick }),
                Some(Fate::Taken { number: told, .. }) if *told != number => {
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
            Self::NothingHeard => f.write_str("nothing was heard"),
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
            Self::HeardAndNotSent { tick } => {
                write!(
                    f,
                    "tick {tick} was heard, and its sender told that it was not sent"
                )
            }
            Self::Renumbered { tick } => {
                write!(
                    f,
                    "tick {tick} was heard under another number than its sender was told"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(number: u64) -> Fate {
        let receivers = Some(2);
        Fate::Taken { number, receivers }
    }

    /// Ticks 0 to 4, numbered 1 to 5, all of them taken.
    fn fates() -> Vec<Fate> {
        (1..=5).map(taken).collect()
    }

    fn heard(numbers: &[u64]) -> Vec<Heard> {
        let heard = |number: &u64| Heard {
            tick: number - 1,
            number: *number,
        };
        numbers.iter().map(heard).collect()
    }

    fn findings(fates: &[Fate], heard: &[Heard], gaps: &[Option<u64>]) -> Vec<Finding> {
        let account = Account { fates, heard, gaps };
        account.findings()
    }

    #[test]
    fn what_is_heard_once_in_order_or_counted_is_in_order() {
        assert_eq!(findings(&fates(), &heard(&[1, 2, 3, 4, 5]), &[]), []);
        assert_eq!(findings(&fates(), &heard(&[1, 5]), &[Some(3)]), []);
        assert_eq!(
            findings(&fates(), &heard(&[1, 3, 5]), &[Some(1), Some(1)]),
            []
        );
        // What came before this hearer is not its loss.
        assert_eq!(findings(&fates(), &heard(&[4, 5]), &[]), []);
    }

    #[test]
    fn a_lost_tail_must_be_reported_too() {
        let lost = Finding::Unnoticed {
            lost: 2,
            reported: 0,
        };
        assert_eq!(findings(&fates(), &heard(&[1, 2, 3]), &[]), [lost]);
        assert_eq!(findings(&fates(), &heard(&[1, 2, 3]), &[Some(2)]), []);
    }

    #[test]
    fn a_silent_loss_is_found() {
        let lost = Finding::Unnoticed {
            lost: 1,
            reported: 0,
        };
        assert_eq!(findings(&fates(), &heard(&[1, 2, 4, 5]), &[]), [lost]);
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
        assert_eq!(findings(&fates(), &heard(&[1, 5]), &[Some(2)]), [few]);
        assert_eq!(findings(&fates(), &heard(&[1, 5]), &[Some(4)]), [many]);
        assert_eq!(
            findings(&fates(), &heard(&[1, 5]), &[None, Some(3)]),
            [Finding::Uncounted]
        );
    }

    #[test]
    fn a_double_is_found() {
        let double = Finding::Twice { tick: 1 };
        assert_eq!(
            findings(&fates(), &heard(&[1, 2, 2, 3, 4, 5]), &[]),
            [double]
        );
    }

    #[test]
    fn one_tick_under_two_numbers_is_a_double_too() {
        let mut twice = heard(&[1, 2, 3, 4, 5]);
        twice.push(Heard { tick: 4, number: 6 });
        let found = findings(&fates(), &twice, &[]);
        assert!(found.contains(&Finding::Twice { tick: 4 }), "{found:?}");
    }

    #[test]
    fn an_inversion_is_found() {
        let inversion = Finding::OutOfOrder {
            after: 3,
            number: 2,
        };
        assert_eq!(
            findings(&fates(), &heard(&[1, 3, 2, 4, 5]), &[]),
            [inversion]
        );
    }

    #[test]
    fn nothing_heard_at_all_is_found() {
        assert_eq!(findings(&fates(), &[], &[]), [Finding::NothingHeard]);
    }

    #[test]
    fn a_sender_that_was_told_wrong_is_found() {
        let mut fates = fates();
        fates[1] = Fate::NotSent;
        fates[2] = taken(7);
        fates[3] = Fate::Unknown;
        fates[4] = Fate::Taken {
            number: 5,
            receivers: Some(0),
        };
        let found = findings(&fates, &heard(&[1, 2, 3, 4, 5]), &[Some(2)]);
        assert_eq!(
            found,
            [
                Finding::HeardAndNotSent { tick: 1 },
                Finding::Renumbered { tick: 2 },
            ]
        );
        assert_eq!(taken_by_nobody(&fates), 1);
    }
}
