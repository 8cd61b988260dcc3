//! Whether each event of a sender was received or reported, whatever its numbers say: the account of
//! a sender in whose name frames were forged, or that starts again at 1. A plain function of plain
//! values.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};
use tidings::NodeId;

use super::Fate;

/// Microseconds of the machine's monotonic clock, which all its processes share.
pub(crate) type Micros = u64;

/// A payload from here on was forged: no sender counts so far.
pub(crate) const FORGED: u64 = 1 << 40;

/// A report is made before the next event is handled, but by another task.
const SLACK: Micros = 2_000_000;

/// What one subscriber received and was told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Witness {
    /// By sender, in the order in which they were handled.
    pub(crate) received: HashMap<NodeId, Vec<Receipt>>,
    pub(crate) reports: Vec<GapReport>,
}

/// One event that was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) tick: u64,
    pub(crate) number: u64,
    pub(crate) at: Micros,
}

/// A gap that was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GapReport {
    /// `None` where it may be the events of any sender.
    pub(crate) from: Option<NodeId>,
    pub(crate) at: Micros,
    pub(crate) is_reconnect: bool,
}

/// All that is known of one sender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) id: NodeId,
    /// By tick.
    pub(crate) fates: &'a [Fate],
    /// When each send was begun.
    pub(crate) begun: &'a [Micros],
    /// Its numbers may start again at 1.
    pub(crate) restarts: bool,
    /// The numbers of its events that were forged again, as they were; `None` where nothing was
    /// forged in its name.
    pub(crate) copied: Option<&'a BTreeSet<u64>>,
}

/// What became of the events of one sender at one subscriber, or of all at all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    /// Events that Redis took, from the first on that was received.
    pub(crate) due: u64,
    pub(crate) received: u64,
    /// Lost, and a gap was reported after they were sent and before the next one was handled.
    pub(crate) reported: u64,
    /// Lost without such a report.
    pub(crate) unreported: u64,
    /// Lost although the subscriber was connected the whole time, reported or not.
    pub(crate) dropped: u64,
    /// Lost where a forged frame was a copy of the lost one: nobody can tell them apart.
    pub(crate) hidden: u64,
    /// Handled more than once.
    pub(crate) twice: u64,
    /// Handled more than once because a copy was forged.
    pub(crate) replayed: u64,
    /// Handled more than once, and a gap of this sender was reported in between: after a forged frame
    /// that went back it seems to have started again, so that a frame which it repeats itself cannot
    /// be told from a new one.
    pub(crate) restarted: u64,
    pub(crate) out_of_order: u64,
    /// Received although the sender was told that they were not sent.
    pub(crate) denied: u64,
    /// Events with a forged payload that were handled.
    pub(crate) forged: u64,
    /// Senders of which nothing was received at all.
    pub(crate) silent: u64,
}

impl Origin<'_> {
    /// What became of its events at this subscriber.
    pub(crate) fn books(&self, witness: &Witness) -> Books {
        let receipts = witness
            .received
            .get(&self.id)
            .map_or(&[][..], Vec::as_slice);
        let (forged, real): (Vec<_>, Vec<_>) = receipts.iter().partition(|got| got.tick >= FORGED);
        let mut books = self.check_received(witness, &real);
        books.forged = forged.len() as u64;
        self.check_missing(witness, &real, &mut books);
        books
    }

    fn check_received(&self, witness: &Witness, real: &[&Receipt]) -> Books {
        let of_this = |report: &&GapReport| report.from == Some(self.id);
        let gaps = sorted(witness.reports.iter().filter(of_this));
        let mut books = Books {
            silent: u64::from(real.is_empty()),
            ..Books::default()
        };
        let (mut seen, mut highest) = (BTreeMap::new(), 0);
        for got in real {
            let place = self.place(got.tick, got.number);
            if let Some(before) = seen.insert(got.tick, got.at) {
                let until = got.at.saturating_add(SLACK);
                if self.is_copied(got.number) {
                    books.replayed += 1;
                } else if self.copied.is_some() && is_any_within(&gaps, before, until) {
                    books.restarted += 1;
                } else {
                    books.twice += 1;
                }
                continue;
            }
            books.received += 1;
            books.out_of_order += u64::from(place < highest && !self.is_copied(got.number));
            books.denied += u64::from(self.fate(got.tick) == Some(Fate::NotSent));
            highest = highest.max(place);
        }
        books
    }

    fn check_missing(&self, witness: &Witness, real: &[&Receipt], books: &mut Books) {
        // Of what was handled more than once, the first counts.
        let mut handled = BTreeMap::new();
        for got in real {
            let place = self.place(got.tick, got.number);
            handled.entry(place).or_insert(got.at);
        }
        let Some((&first, _)) = handled.first_key_value() else {
            return;
        };
        let seen: BTreeSet<_> = real.iter().map(|got| got.tick).collect();
        let of_this = |report: &&GapReport| report.from.is_none_or(|from| from == self.id);
        let reports = sorted(witness.reports.iter().filter(of_this));
        let reconnects = sorted(witness.reports.iter().filter(|report| report.is_reconnect));
        for (tick, fate, begun) in self.events() {
            let Fate::Taken { number, .. } = fate else {
                continue;
            };
            let place = self.place(tick, number);
            if place < first {
                continue;
            }
            books.due += 1;
            if seen.contains(&tick) {
                continue;
            }
            let next = handled.range(place..).next();
            let until = next.map_or(Micros::MAX, |(_, at)| at.saturating_add(SLACK));
            let is_told = is_any_within(&reports, begun, until);
            let was_connected = !is_any_within(&reconnects, begun, until);
            if is_told {
                books.reported += 1;
            } else if self.is_copied(number) {
                books.hidden += 1;
            } else {
                books.unreported += 1;
            }
            books.dropped += u64::from(was_connected && self.copied.is_none());
        }
    }

    /// Where an event belongs in the order of its sender.
    fn place(&self, tick: u64, number: u64) -> u64 {
        if self.restarts { tick } else { number }
    }

    fn events(&self) -> impl Iterator<Item = (u64, Fate, Micros)> {
        let events = self.fates.iter().zip(self.begun);
        (0..)
            .zip(events)
            .map(|(tick, (fate, begun))| (tick, *fate, *begun))
    }

    fn fate(&self, tick: u64) -> Option<Fate> {
        self.fates.get(usize::try_from(tick).ok()?).copied()
    }

    fn is_copied(&self, number: u64) -> bool {
        self.copied.is_some_and(|copied| copied.contains(&number))
    }
}

fn sorted<'a>(reports: impl Iterator<Item = &'a GapReport>) -> Vec<Micros> {
    let mut times: Vec<_> = reports.map(|report| report.at).collect();
    times.sort_unstable();
    times
}

fn is_any_within(times: &[Micros], from: Micros, until: Micros) -> bool {
    let first = times.partition_point(|time| *time < from);
    times.get(first).is_some_and(|time| *time <= until)
}

impl AddAssign for Books {
    fn add_assign(&mut self, other: Self) {
        self.due += other.due;
        self.received += other.received;
        self.reported += other.reported;
        self.unreported += other.unreported;
        self.dropped += other.dropped;
        self.hidden += other.hidden;
        self.twice += other.twice;
        self.replayed += other.replayed;
        self.restarted += other.restarted;
        self.out_of_order += other.out_of_order;
        self.denied += other.denied;
        self.forged += other.forged;
        self.silent += other.silent;
    }
}

impl Books {
    /// What must not be, in words.
    pub(crate) fn findings(&self) -> Vec<String> {
        let must_be_0 = [
            (self.unreported, "were lost and not reported"),
            (
                self.dropped,
                "were lost although the subscriber was connected",
            ),
            (self.twice, "were handled twice"),
            (self.out_of_order, "were handled out of order"),
            (
                self.denied,
                "were received, and their sender told that they were not sent",
            ),
        ];
        let counted = must_be_0.iter().filter(|(count, _)| *count > 0);
        let mut findings: Vec<_> = counted
            .map(|(count, what)| format!("{count} events {what}"))
            .collect();
        if self.silent > 0 {
            findings.push("nothing was received".to_owned());
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: NodeId = NodeId::new(1);
    const BELA: NodeId = NodeId::new(2);
    const SECOND: Micros = 1_000_000;

    /// Ticks 0 to 9, one every 10 s, numbered from 1 on, all of them taken.
    struct Case {
        fates: Vec<Fate>,
        begun: Vec<Micros>,
        restarts: bool,
        copied: Option<BTreeSet<u64>>,
        witness: Witness,
    }

    fn case(ticks: &[u64]) -> Case {
        let taken = |number| Fate::Taken {
            number,
            receivers: Some(1),
        };
        let received = ticks.iter().map(|&tick| Receipt {
            tick,
            number: tick + 1,
            at: tick * 10 * SECOND + 1,
        });
        Case {
            fates: (1..=10).map(taken).collect(),
            begun: (0..10).map(|tick| tick * 10 * SECOND).collect(),
            restarts: false,
            copied: None,
            witness: Witness {
                received: HashMap::from([(ANNA, received.collect())]),
                reports: Vec::new(),
            },
        }
    }

    impl Case {
        fn told(mut self, from: Option<NodeId>, second: u64, is_reconnect: bool) -> Self {
            self.witness.reports.push(GapReport {
                from,
                at: second * SECOND,
                is_reconnect,
            });
            self
        }

        fn copied(mut self, numbers: &[u64]) -> Self {
            self.copied = Some(numbers.iter().copied().collect());
            self
        }

        fn books(&self) -> Books {
            let origin = Origin {
                id: ANNA,
                fates: &self.fates,
                begun: &self.begun,
                restarts: self.restarts,
                copied: self.copied.as_ref(),
            };
            origin.books(&self.witness)
        }
    }

    #[test]
    fn events_that_are_all_received_leave_no_finding() {
        let books = case(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).books();
        assert_eq!((books.due, books.received), (10, 10));
        assert_eq!(books.findings(), Vec::<String>::new());
        // What was sent before the subscriber was there is not lost.
        assert_eq!(case(&[8, 9]).books().findings(), Vec::<String>::new());
    }

    #[test]
    fn a_missing_event_without_a_report_is_found() {
        let books = case(&[0, 1, 4, 5, 6, 7, 8, 9]).books();
        assert_eq!((books.unreported, books.reported), (2, 0));
    }

    #[test]
    fn a_lost_tail_without_a_report_is_found() {
        assert_eq!(case(&[0, 1, 2]).books().unreported, 7);
        let told = case(&[0, 1, 2]).told(Some(ANNA), 91, false);
        assert_eq!((told.books().unreported, told.books().reported), (0, 7));
    }

    #[test]
    fn a_gap_of_unknown_size_and_a_reconnect_count_as_reports() {
        let gap = case(&[0, 1, 4, 5, 6, 7, 8, 9]).told(Some(ANNA), 40, false);
        assert_eq!((gap.books().unreported, gap.books().reported), (0, 2));
        let back = case(&[0, 1, 4, 5, 6, 7, 8, 9]).told(None, 35, true);
        assert_eq!((back.books().unreported, back.books().reported), (0, 2));
    }

    #[test]
    fn a_report_of_another_sender_or_too_early_or_too_late_does_not_count() {
        for (from, second) in [(BELA, 40), (ANNA, 19), (ANNA, 43)] {
            let told = case(&[0, 1, 4, 5, 6, 7, 8, 9]).told(Some(from), second, false);
            assert!(told.books().unreported > 0, "{from} {second}");
        }
    }

    #[test]
    fn a_report_covers_only_what_was_sent_before_it() {
        let books = case(&[0, 1, 9]).told(Some(ANNA), 25, false).books();
        assert_eq!((books.reported, books.unreported), (1, 6));
    }

    #[test]
    fn an_event_that_was_lost_on_a_good_connection_is_found_although_it_was_reported() {
        let gap = case(&[0, 1, 4, 5, 6, 7, 8, 9]).told(Some(ANNA), 40, false);
        assert_eq!(gap.books().dropped, 2);
        let back = gap.told(None, 35, true);
        assert_eq!(back.books().dropped, 0);
    }

    #[test]
    fn an_event_that_is_handled_twice_is_found() {
        assert_eq!(case(&[0, 1, 2, 1, 3]).books().twice, 1);
    }

    #[test]
    fn an_event_out_of_order_is_found() {
        assert_eq!(case(&[0, 2, 1, 3]).books().out_of_order, 1);
    }

    #[test]
    fn an_exact_copy_may_hide_an_event_or_repeat_it_and_is_counted() {
        let books = case(&[0, 1, 3, 4, 5, 6, 7, 8, 9, 1])
            .copied(&[2, 3])
            .books();
        assert_eq!((books.hidden, books.replayed), (1, 1));
        assert_eq!(books.findings(), Vec::<String>::new());
    }

    #[test]
    fn a_copy_excuses_no_other_event() {
        let books = case(&[0, 1, 3, 4, 5, 6, 7, 8, 9, 1]).copied(&[9]).books();
        assert_eq!((books.unreported, books.twice), (1, 1));
    }

    #[test]
    fn an_event_handled_again_after_a_forged_restart_is_counted_apart() {
        let twice = |from| case(&[0, 1, 2, 1, 3]).told(from, 11, false);
        assert_eq!(twice(Some(ANNA)).books().twice, 1);
        let forged = twice(Some(ANNA)).copied(&[]).books();
        assert_eq!((forged.twice, forged.restarted), (0, 1));
        // Without a report of this sender it is found.
        assert_eq!(twice(Some(BELA)).copied(&[]).books().twice, 1);
    }

    #[test]
    fn a_forged_event_is_no_event_of_the_sender() {
        let mut case = case(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).copied(&[]);
        let forged = Receipt {
            tick: FORGED + 7,
            number: 900,
            at: 5,
        };
        case.witness
            .received
            .entry(ANNA)
            .or_default()
            .insert(3, forged);
        assert_eq!((case.books().forged, case.books().received), (1, 10));
        assert_eq!(case.books().findings(), Vec::<String>::new());
    }

    #[test]
    fn the_ticks_of_a_sender_that_starts_again_count_and_not_its_numbers() {
        let mut case = case(&[0, 1, 2, 3, 4]);
        case.restarts = true;
        for (tick, number) in [(5, 1), (6, 2), (7, 3), (8, 4), (9, 5)] {
            case.fates[tick] = Fate::Taken {
                number,
                receivers: None,
            };
        }
        assert_eq!(case.books().unreported, 5);
        let again = (5..10).map(|tick| Receipt {
            tick,
            number: tick - 4,
            at: tick * 10 * SECOND + 1,
        });
        case.witness.received.entry(ANNA).or_default().extend(again);
        assert_eq!(case.books().findings(), Vec::<String>::new());
    }

    #[test]
    fn an_event_that_was_said_not_to_be_sent_and_a_sender_never_received_are_found() {
        let mut denied = case(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        denied.fates[4] = Fate::NotSent;
        assert_eq!(denied.books().denied, 1);
        assert_eq!(case(&[]).books().silent, 1);
    }

    #[test]
    fn an_event_that_may_not_have_been_sent_is_nobodys_loss() {
        let mut case = case(&[0, 1, 2, 4, 5, 6, 7, 8, 9]);
        case.fates[3] = Fate::Unknown;
        assert_eq!(case.books().findings(), Vec::<String>::new());
    }
}
