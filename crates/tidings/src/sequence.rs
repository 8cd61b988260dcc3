//! Judging what is heard by its numbers: next, repeated or missed. No I/O, no clock of its own.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use tidings_codec::NodeId;

/// How many senders are remembered; the one not heard for longest is forgotten first.
const SENDERS: usize = 4_096;

/// How long a silent sender is remembered: one that is idle states its position once an hour at the
/// least.
const MEMORY: Duration = Duration::from_hours(2);

/// How far back a repeated frame can reach: a sender repeats only what is under way, two frames of
/// at most 32,768 events.
const REPEATED: u64 = 2 * 32_768;

/// What a frame's numbers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All of it is new, and nothing is missing before it.
    Next,
    /// Its first `known` events were heard before.
    Repeated { known: u32 },
    /// All of it is new, and this many events before it never came.
    Missed(u64),
    /// The numbers are so low that no repeated frame can have them: somebody else claimed higher
    /// ones in this sender's name. What that hid cannot be known; from here on it counts again.
    Restarted,
}

/// The next number expected of each sender.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    senders: HashMap<NodeId, Expected, RandomState>,
}

#[derive(Clone, Copy, Debug)]
struct Expected {
    next: u64,
    heard: Instant,
}

impl Sequences {
    /// A new sender starts at 1: what we miss of it from now on is missed.
    pub(crate) fn join(&mut self, sender: NodeId, now: Instant) {
        self.remember(
            sender,
            Expected {
                next: 1,
                heard: now,
            },
        );
    }

    /// Judges `events` events of `sender`, the first of them numbered `first`.
    ///
    /// A sender heard for the first time starts at whatever it says. A frame without events states
    /// the number of the event to come.
    pub(crate) fn receive(
        &mut self,
        sender: NodeId,
        first: u64,
        events: u32,
        now: Instant,
    ) -> Verdict {
        let end = first.saturating_add(u64::from(events));
        let Some(expected) = self.senders.get_mut(&sender) else {
            self.remember(
                sender,
                Expected {
                    next: end,
                    heard: now,
                },
            );
            return Verdict::Next;
        };
        let next = expected.next;
        expected.heard = now;
        if next.saturating_sub(end) > REPEATED {
            expected.next = end;
            return Verdict::Restarted;
        }
        expected.next = next.max(end);
        if first > next {
            return Verdict::Missed(first - next);
        }
        match u32::try_from(next - first) {
            Ok(0) => Verdict::Next,
            Ok(known) => Verdict::Repeated {
                known: known.min(events),
            },
            Err(_) => Verdict::Repeated { known: events },
        }
    }

    fn remember(&mut self, sender: NodeId, expected: Expected) {
        if self.senders.len() >= SENDERS {
            self.forget(expected.heard);
        }
        self.senders.insert(sender, expected);
    }

    /// Forgets all that were silent for long, or else the one that was silent for longest.
    fn forget(&mut self, now: Instant) {
        self.senders
            .retain(|_, expected| now.duration_since(expected.heard) < MEMORY);
        if self.senders.len() < SENDERS {
            return;
        }
        let oldest = self
            .senders
            .iter()
            .min_by_key(|(_, expected)| expected.heard);
        if let Some(oldest) = oldest.map(|(sender, _)| *sender) {
            self.senders.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::Verdict::{Missed, Next, Repeated, Restarted};
    use super::*;

    /// What a sender's frames say (first number, events), and the verdict on each.
    type Case = (&'static str, &'static [(u64, u32, Verdict)]);

    const ANNA: NodeId = NodeId::new(1);
    const BELA: NodeId = NodeId::new(2);

    #[test]
    fn each_case_of_the_table_is_judged_as_it_says() {
        let table: &[Case] = &[
            ("in order", &[(1, 3, Next), (4, 1, Next), (5, 2, Next)]),
            (
                "heard for the first time in the middle",
                &[(40, 2, Next), (42, 1, Next)],
            ),
            (
                "a retried frame",
                &[(1, 3, Next), (1, 3, Repeated { known: 3 }), (4, 1, Next)],
            ),
            (
                "an old frame",
                &[(9, 1, Next), (2, 2, Repeated { known: 2 })],
            ),
            (
                "half known",
                &[(1, 3, Next), (2, 4, Repeated { known: 2 }), (6, 1, Next)],
            ),
            (
                "one missed",
                &[(1, 1, Next), (3, 1, Missed(1)), (4, 1, Next)],
            ),
            (
                "many missed",
                &[(1, 1, Next), (1_000, 5, Missed(998)), (1_005, 1, Next)],
            ),
            (
                "missed, then late",
                &[
                    (1, 1, Next),
                    (5, 1, Missed(3)),
                    (2, 3, Repeated { known: 3 }),
                ],
            ),
            (
                "idle, nothing lost",
                &[(1, 2, Next), (3, 0, Next), (3, 0, Next), (3, 1, Next)],
            ),
            (
                "idle, the tail lost",
                &[(1, 2, Next), (6, 0, Missed(3)), (6, 1, Next)],
            ),
            (
                "an old announcement",
                &[(1, 5, Next), (2, 0, Repeated { known: 0 }), (6, 1, Next)],
            ),
            (
                "first heard when idle",
                &[(7, 0, Next), (7, 2, Next), (10, 1, Missed(1))],
            ),
            (
                "a stranger spoke in its name",
                &[
                    (1, 1, Next),
                    (u64::MAX, 0, Missed(u64::MAX - 2)),
                    (2, 1, Restarted),
                    (3, 1, Next),
                ],
            ),
            (
                "as far back as a repeated frame can be",
                &[
                    (65_535, 3, Next),
                    (1, 1, Repeated { known: 1 }),
                    (65_538, 1, Next),
                    (1, 1, Restarted),
                ],
            ),
            (
                "the largest number",
                &[(u64::MAX - 1, 1, Next), (u64::MAX, 1, Next)],
            ),
        ];
        let now = Instant::now();
        for (case, frames) in table {
            let mut sequences = Sequences::default();
            for (first, events, verdict) in *frames {
                let judged = sequences.receive(ANNA, *first, *events, now);
                assert_eq!(judged, *verdict, "{case}: {events} events from {first}");
            }
        }
    }

    #[test]
    fn senders_are_judged_apart() {
        let (mut sequences, now) = (Sequences::default(), Instant::now());
        sequences.receive(ANNA, 1, 5, now);
        assert_eq!(sequences.receive(BELA, 10, 1, now), Next);
        assert_eq!(sequences.receive(ANNA, 6, 1, now), Next);
    }

    #[test]
    fn a_new_sender_that_is_first_heard_late_has_been_missed() {
        let (mut sequences, now) = (Sequences::default(), Instant::now());
        sequences.join(ANNA, now);
        assert_eq!(sequences.receive(ANNA, 4, 1, now), Missed(3));
    }

    #[test]
    fn remembered_senders_are_bounded_and_the_longest_silent_goes_first() {
        let (mut sequences, start) = (Sequences::default(), Instant::now());
        for n in 0..=SENDERS as u64 {
            let now = start + Duration::from_millis(n);
            sequences.receive(NodeId::new(u128::from(n)), 1, 1, now);
        }
        assert_eq!(sequences.senders.len(), SENDERS);
        assert!(!sequences.senders.contains_key(&NodeId::new(0)));
        assert!(sequences.senders.contains_key(&NodeId::new(1)));
    }

    proptest! {
        /// The model keeps every number ever heard: each is delivered once, and what is reported
        /// as missed is exactly what was skipped when it was skipped.
        #[test]
        fn verdicts_agree_with_a_set_of_numbers(frames in prop::collection::vec((1_u64..60, 0_u32..8), 1..40)) {
            let now = Instant::now();
            let mut sequences = Sequences::default();
            let mut passed: Option<BTreeSet<u64>> = None;
            for (first, events) in frames {
                let numbers = first..first + u64::from(events);
                let verdict = sequences.receive(ANNA, first, events, now);
                let seen = passed.get_or_insert_with(|| (0..first).collect());
                let skipped = (0..first).filter(|number| !seen.contains(number)).count() as u64;
                let known = numbers.clone().filter(|number| seen.contains(number)).count();
                match verdict {
                    Next => prop_assert_eq!((skipped, known), (0, 0)),
                    Missed(missed) => prop_assert_eq!((skipped, known), (missed, 0)),
                    Repeated { known: judged } => {
                        prop_assert_eq!((skipped, known), (0, judged as usize));
                    }
                    Restarted => prop_assert!(false, "such numbers are not in the test"),
                }
                seen.extend(0..numbers.end);
            }
        }
    }
}
