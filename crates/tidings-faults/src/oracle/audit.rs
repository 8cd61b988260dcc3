//! Audits each event of a sender whose numbers prove nothing, because frames were forged in its
//! name or it starts again at 1: received, or reported as lost. A plain function of plain values.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};
use tidings::NodeId;

use super::SendResult;

/// Microseconds of the machine's monotonic clock, which all processes share.
pub(crate) type Micros = u64;

/// Payloads from here on are forged: no sender counts this far.
pub(crate) const FORGED: u64 = 1 << 40;

/// Another task reports a gap, so the report may come a little after the next event is handled.
const SLACK: Micros = 2_000_000;

/// The events and gaps of one subscriber.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SubscriberLog {
    /// By sender, in the order of handling.
    pub(crate) received: HashMap<NodeId, Vec<Receipt>>,
    pub(crate) reports: Vec<GapReport>,
}

/// An event that was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) tick: u64,
    pub(crate) number: u64,
    pub(crate) at: Micros,
}

/// A gap that was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GapReport {
    /// `None` where the gap may concern any sender.
    pub(crate) from: Option<NodeId>,
    pub(crate) at: Micros,
    pub(crate) is_reconnect: bool,
}

/// The events of one sender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SenderLog<'a> {
    pub(crate) id: NodeId,
    /// By tick.
    pub(crate) results: &'a [SendResult],
    /// The start of each send.
    pub(crate) begun: &'a [Micros],
    /// Whether its numbers may start again at 1.
    pub(crate) restarts: bool,
    /// The numbers of its events that were forged again unchanged; `None` where nothing was forged
    /// in its name.
    pub(crate) copied: Option<&'a BTreeSet<u64>>,
}

/// The counts for one sender at one subscriber, or the sum for all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Audit {
    /// Events that Redis acknowledged, from the first one received.
    pub(crate) due: u64,
    pub(crate) received: u64,
    /// Lost, and a gap was reported after the send and before the next event was handled.
    pub(crate) reported: u64,
    /// Lost without such a report.
    pub(crate) unreported: u64,
    /// Lost although the subscriber was connected the whole time, reported or not.
    pub(crate) dropped: u64,
    /// Lost where a forged frame was a copy of the lost one: they cannot be told apart.
    pub(crate) hidden: u64,
    /// Handled more than once.
    pub(crate) twice: u64,
    /// Handled more than once because a copy was forged.
    pub(crate) replayed: u64,
    /// Handled more than once, with a reported gap of this sender in between. After a forged frame
    /// with lower numbers the sender seems to have started again, so a frame that it repeats cannot
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

impl SenderLog<'_> {
    /// Audits its events at this subscriber.
    pub(crate) fn audit(&self, log: &SubscriberLog) -> Audit {
        let receipts = log.received.get(&self.id).map_or(&[][..], Vec::as_slice);
        let (forged, real): (Vec<_>, Vec<_>) = receipts.iter().partition(|got| got.tick >= FORGED);
        let mut audit = self.check_received(log, &real);
        audit.forged = forged.len() as u64;
        self.check_missing(log, &real, &mut audit);
        audit
    }

    fn check_received(&self, log: &SubscriberLog, real: &[&Receipt]) -> Audit {
        let of_this = |report: &&GapReport| report.from == Some(self.id);
        let gaps = sorted(log.reports.iter().filter(of_this));
        let mut audit = Audit {
            silent: u64::from(real.is_empty()),
            ..Audit::default()
        };
        let (mut seen, mut highest) = (BTreeMap::new(), 0);
        for got in real {
            let place = self.place(got.tick, got.number);
            if let Some(before) = seen.insert(got.tick, got.at) {
                let until = got.at.saturating_add(SLACK);
                if self.is_copied(got.number) {
                    audit.replayed += 1;
                } else if self.copied.is_some() && is_any_within(&gaps, before, until) {
                    audit.restarted += 1;
                } else {
                    audit.twice += 1;
                }
                continue;
            }
            audit.received += 1;
            audit.out_of_order += u64::from(place < highest && !self.is_copied(got.number));
            audit.denied += u64::from(self.result(got.tick) == Some(SendResult::NotSent));
            highest = highest.max(place);
        }
        audit
    }

    fn check_missing(&self, log: &SubscriberLog, real: &[&Receipt], audit: &mut Audit) {
        // For an event that was handled more than once, the first time counts.
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
        let reports = sorted(log.reports.iter().filter(of_this));
        let reconnects = sorted(log.reports.iter().filter(|report| report.is_reconnect));
        for (tick, result, begun) in self.events() {
            let SendResult::Published { number, .. } = result else {
                continue;
            };
            let place = self.place(tick, number);
            if place < first {
                continue;
            }
            audit.due += 1;
            if seen.contains(&tick) {
                continue;
            }
            let next = handled.range(place..).next();
            let until = next.map_or(Micros::MAX, |(_, at)| at.saturating_add(SLACK));
            let is_told = is_any_within(&reports, begun, until);
            let was_connected = !is_any_within(&reconnects, begun, until);
            if is_told {
                audit.reported += 1;
            } else if self.is_copied(number) {
                audit.hidden += 1;
            } else {
                audit.unreported += 1;
            }
            audit.dropped += u64::from(was_connected && self.copied.is_none());
        }
    }

    /// The position of an event in the order of its sender.
    fn place(&self, tick: u64, number: u64) -> u64 {
        if self.restarts { tick } else { number }
    }

    fn events(&self) -> impl Iterator<Item = (u64, SendResult, Micros)> {
        let events = self.results.iter().zip(self.begun);
        (0..)
            .zip(events)
            .map(|(tick, (result, begun))| (tick, *result, *begun))
    }

    fn result(&self, tick: u64) -> Option<SendResult> {
        self.results.get(usize::try_from(tick).ok()?).copied()
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

impl AddAssign for Audit {
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

impl Audit {
    /// Returns the violations as text.
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
                "were received, and their sender was told that they were not sent",
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

    /// Ticks 0 to 9, one every 10 s, numbered from 1 on, all of them published.
    struct Case {
        results: Vec<SendResult>,
        begun: Vec<Micros>,
        restarts: bool,
        copied: Option<BTreeSet<u64>>,
        log: SubscriberLog,
    }

    fn case(ticks: &[u64]) -> Case {
        let taken = |number| SendResult::Published {
            number,
            receivers: Some(1),
        };
        let received = ticks.iter().map(|&tick| Receipt {
            tick,
            number: tick + 1,
            at: tick * 10 * SECOND + 1,
        });
        Case {
            results: (1..=10).map(taken).collect(),
            begun: (0..10).map(|tick| tick * 10 * SECOND).collect(),
            restarts: false,
            copied: None,
            log: SubscriberLog {
                received: HashMap::from([(ANNA, received.collect())]),
                reports: Vec::new(),
            },
        }
    }

    impl Case {
        fn told(mut self, from: Option<NodeId>, second: u64, is_reconnect: bool) -> Self {
            self.log.reports.push(GapReport {
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

        fn audit(&self) -> Audit {
            let sender_log = SenderLog {
                id: ANNA,
                results: &self.results,
                begun: &self.begun,
                restarts: self.restarts,
                copied: self.copied.as_ref(),
            };
            sender_log.audit(&self.log)
        }
    }

    #[test]
    fn events_that_are_all_received_are_no_violation() {
        let audit = case(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).audit();
        assert_eq!((audit.due, audit.received), (10, 10));
        assert_eq!(audit.findings(), Vec::<String>::new());
        // Events before the subscription are not lost.
        assert_eq!(case(&[8, 9]).audit().findings(), Vec::<String>::new());
    }

    #[test]
    fn a_missing_event_without_a_report_is_found() {
        let audit = case(&[0, 1, 4, 5, 6, 7, 8, 9]).audit();
        assert_eq!((audit.unreported, audit.reported), (2, 0));
    }

    #[test]
    fn lost_events_at_the_end_without_a_report_are_found() {
        assert_eq!(case(&[0, 1, 2]).audit().unreported, 7);
        let told = case(&[0, 1, 2]).told(Some(ANNA), 91, false);
        assert_eq!((told.audit().unreported, told.audit().reported), (0, 7));
    }

    #[test]
    fn a_gap_of_unknown_size_and_a_reconnect_count_as_reports() {
        let gap = case(&[0, 1, 4, 5, 6, 7, 8, 9]).told(Some(ANNA), 40, false);
        assert_eq!((gap.audit().unreported, gap.audit().reported), (0, 2));
        let back = case(&[0, 1, 4, 5, 6, 7, 8, 9]).told(None, 35, true);
        assert_eq!((back.audit().unreported, back.audit().reported), (0, 2));
    }

    #[test]
    fn a_report_counts_only_for_its_sender_and_its_time() {
        for (from, second) in [(BELA, 40), (ANNA, 19), (ANNA, 43)] {
            let told = case(&[0, 1, 4, 5, 6, 7, 8, 9]).told(Some(from), second, false);
            assert!(told.audit().unreported > 0, "{from} {second}");
        }
    }

    #[test]
    fn a_report_covers_only_events_sent_before_it() {
        let audit = case(&[0, 1, 9]).told(Some(ANNA), 25, false).audit();
        assert_eq!((audit.reported, audit.unreported), (1, 6));
    }

    #[test]
    fn an_event_lost_on_a_healthy_connection_is_found_although_it_was_reported() {
        let gap = case(&[0, 1, 4, 5, 6, 7, 8, 9]).told(Some(ANNA), 40, false);
        assert_eq!(gap.audit().dropped, 2);
        let back = gap.told(None, 35, true);
        assert_eq!(back.audit().dropped, 0);
    }

    #[test]
    fn an_event_that_is_handled_twice_is_found() {
        assert_eq!(case(&[0, 1, 2, 1, 3]).audit().twice, 1);
    }

    #[test]
    fn an_event_out_of_order_is_found() {
        assert_eq!(case(&[0, 2, 1, 3]).audit().out_of_order, 1);
    }

    #[test]
    fn an_exact_copy_may_hide_an_event_or_repeat_it_and_is_counted() {
        let audit = case(&[0, 1, 3, 4, 5, 6, 7, 8, 9, 1])
            .copied(&[2, 3])
            .audit();
        assert_eq!((audit.hidden, audit.replayed), (1, 1));
        assert_eq!(audit.findings(), Vec::<String>::new());
    }

    #[test]
    fn a_copy_excuses_no_other_event() {
        let audit = case(&[0, 1, 3, 4, 5, 6, 7, 8, 9, 1]).copied(&[9]).audit();
        assert_eq!((audit.unreported, audit.twice), (1, 1));
    }

    #[test]
    fn an_event_handled_again_after_a_forged_restart_is_counted_apart() {
        let twice = |from| case(&[0, 1, 2, 1, 3]).told(from, 11, false);
        assert_eq!(twice(Some(ANNA)).audit().twice, 1);
        let forged = twice(Some(ANNA)).copied(&[]).audit();
        assert_eq!((forged.twice, forged.restarted), (0, 1));
        // Without a report of this sender it is a violation.
        assert_eq!(twice(Some(BELA)).copied(&[]).audit().twice, 1);
    }

    #[test]
    fn a_forged_event_is_not_counted_for_its_sender() {
        let mut case = case(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).copied(&[]);
        let forged = Receipt {
            tick: FORGED + 7,
            number: 900,
            at: 5,
        };
        case.log.received.entry(ANNA).or_default().insert(3, forged);
        assert_eq!((case.audit().forged, case.audit().received), (1, 10));
        assert_eq!(case.audit().findings(), Vec::<String>::new());
    }

    #[test]
    fn a_sender_that_starts_again_is_audited_by_its_ticks() {
        let mut case = case(&[0, 1, 2, 3, 4]);
        case.restarts = true;
        for (tick, number) in [(5, 1), (6, 2), (7, 3), (8, 4), (9, 5)] {
            case.results[tick] = SendResult::Published {
                number,
                receivers: None,
            };
        }
        assert_eq!(case.audit().unreported, 5);
        let again = (5..10).map(|tick| Receipt {
            tick,
            number: tick - 4,
            at: tick * 10 * SECOND + 1,
        });
        case.log.received.entry(ANNA).or_default().extend(again);
        assert_eq!(case.audit().findings(), Vec::<String>::new());
    }

    #[test]
    fn an_event_reported_as_not_sent_and_a_silent_sender_are_found() {
        let mut denied = case(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        denied.results[4] = SendResult::NotSent;
        assert_eq!(denied.audit().denied, 1);
        assert_eq!(case(&[]).audit().silent, 1);
    }

    #[test]
    fn an_event_that_may_not_have_been_sent_is_not_lost() {
        let mut case = case(&[0, 1, 2, 4, 5, 6, 7, 8, 9]);
        case.results[3] = SendResult::Unknown;
        assert_eq!(case.audit().findings(), Vec::<String>::new());
    }
}
