//! The targets, most of them a ratio of two rows of one run, and their outcomes.

use crate::outcome::{Bound, LeftOut, Outcome};
use crate::peers::Peer::{
    self, JournalJson, JournalMsgpack, Nats, Redis, RedisPipelines, TidingsJson, TidingsMsgpack,
};
use crate::rows::{
    AWAIT_1, AWAIT_8, CLUSTERS, FEED_1, FEED_8, MANY, Row, Scenario, TASKS_1, TASKS_8,
};
use crate::run::Run;
use crate::summary::{Summary, find};
use crate::trials::Trial;

/// A target: the median of a figure of pairs of runs, within a bound.
#[derive(Clone, Copy, Debug)]
struct Target {
    figure: Figure,
    ours: Cell,
    theirs: Cell,
    bound: Bound,
}

/// A scenario and a peer.
type Cell = (Scenario, Peer);

/// A figure of two runs of one round.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    /// Events a second, divided by those of the other row.
    Rate,
    /// The median latency, divided by that of the other row.
    P50,
    /// The processor time of all processes an event, divided by that of the other row.
    Cpu,
    /// Nanoseconds of the subscriber for an unwanted event. The other row has only wanted ones.
    Unwanted,
    /// Peak memory of the sender. The other row is the same.
    SenderMib,
}

/// The row that most figures are about.
const FED: Cell = (FEED_1, TidingsJson);

const NAMES: Cell = (FEED_1.with_names(256), TidingsJson);

/// Returns the targets that depend on rows.
fn targets() -> Vec<Target> {
    let others = [
        (Figure::Cpu, FED, (FEED_1, Redis), 0.12),
        (Figure::Unwanted, NAMES, FED, 95.0),
        (Figure::SenderMib, FED, FED, 14.0),
    ];
    let at_most = |(figure, ours, theirs, most)| Target {
        figure,
        ours,
        theirs,
        bound: Bound::AtMost(most),
    };
    let all = rates().into_iter().chain(latencies());
    let all = all.chain(others.map(at_most));
    all.chain(journaled()).collect()
}

/// A bus with a journal, compared with one without.
fn journaled() -> [Target; 8] {
    use Bound::{AtLeast, AtMost};
    let quiet = Scenario::rate(1_000);
    [
        (Figure::Rate, FEED_1, JournalJson, AtLeast(0.9)),
        (Figure::Rate, FEED_1, JournalMsgpack, AtLeast(0.9)),
        (Figure::Rate, FEED_8, JournalJson, AtLeast(0.95)),
        (Figure::Rate, FEED_8, JournalMsgpack, AtLeast(0.95)),
        (
            Figure::Rate,
            FEED_1.of_size(16_384),
            JournalJson,
            AtLeast(0.9),
        ),
        (Figure::Rate, AWAIT_1, JournalJson, AtLeast(0.85)),
        (Figure::P50, quiet, JournalJson, AtMost(1.3)),
        (Figure::Cpu, MANY, JournalJson, AtMost(1.25)),
    ]
    .map(|(figure, scenario, peer, bound)| Target {
        figure,
        ours: (scenario, peer),
        theirs: (scenario, without_journal(peer)),
        bound,
    })
}

fn without_journal(peer: Peer) -> Peer {
    match peer {
        JournalMsgpack => TidingsMsgpack,
        _ => TidingsJson,
    }
}

fn rates() -> Vec<Target> {
    let one_kib = FEED_1.of_size(1_024);
    let sixteen_kib = FEED_1.of_size(16_384);
    let all = [
        (FEED_1, TidingsJson, Redis, 8.5),
        (FEED_1, TidingsMsgpack, Redis, 13.0),
        (FEED_8, TidingsJson, Redis, 6.0),
        (FEED_8, TidingsMsgpack, Redis, 7.5),
        (FEED_1, TidingsJson, RedisPipelines, 5.0),
        (FEED_8, TidingsJson, RedisPipelines, 5.5),
        (FEED_1, TidingsJson, Nats, 2.8),
        (FEED_8, TidingsJson, Nats, 3.0),
        (one_kib, TidingsJson, RedisPipelines, 2.8),
        (sixteen_kib, TidingsJson, RedisPipelines, 2.2),
        (TASKS_1, TidingsJson, Redis, 4.0),
        (TASKS_8, TidingsJson, Redis, 5.0),
        (AWAIT_1, TidingsJson, Redis, 1.0),
        (AWAIT_8, TidingsJson, Redis, 0.8),
    ];
    // The ratios of a single server, and for one task that awaits each send no less than the peer.
    let on_cluster = |topology| {
        [
            (FEED_1.on(topology), TidingsJson, Redis, 7.5),
            (FEED_8.on(topology), TidingsJson, Redis, 5.1),
            (AWAIT_1.on(topology), TidingsJson, Redis, 1.0),
        ]
    };
    let all = all
        .into_iter()
        .chain(CLUSTERS.into_iter().flat_map(on_cluster));
    let target = |(scenario, ours, theirs, least)| Target {
        figure: Figure::Rate,
        ours: (scenario, ours),
        theirs: (scenario, theirs),
        bound: Bound::AtLeast(least),
    };
    all.map(target).collect()
}

/// p99 has no target: single runs of one peer differ tenfold.
fn latencies() -> [Target; 3] {
    [(1_000, 1.0), (5_000, 0.8), (100_000, 0.25)].map(|(per_second, most)| Target {
        figure: Figure::P50,
        ours: (Scenario::rate(per_second), TidingsJson),
        theirs: (Scenario::rate(per_second), Redis),
        bound: Bound::AtMost(most),
    })
}

/// Returns whether a target needs this row.
pub(crate) fn needs(row: &Row) -> bool {
    let cell = (row.scenario, row.peer);
    let targets = targets();
    let mut cells = targets
        .iter()
        .flat_map(|target| [target.ours, target.theirs]);
    cells.any(|needed| needed == cell)
}

/// Returns whether a row without a journal is compared with one of these rows, which have one.
pub(crate) fn is_compared(row: &Row, journaled: &[Row]) -> bool {
    journaled.iter().any(|other| {
        let is_other = other.peer.is_journaled() && other.scenario == row.scenario;
        is_other && without_journal(other.peer) == row.peer
    })
}

/// Returns the outcomes of the targets of these rows and trials. A target whose rows were not selected
/// has none.
pub(crate) fn outcomes(rows: &[Summary], trials: &[Trial], left_out: &[LeftOut]) -> Vec<Outcome> {
    let left_out: Vec<Peer> = left_out.iter().map(|left| left.id).collect();
    let is_selected =
        |(scenario, peer)| find(rows, scenario, peer).is_some() || left_out.contains(&peer);
    let of_rows = targets()
        .into_iter()
        .filter(|target| is_selected(target.ours) && is_selected(target.theirs))
        .map(|target| target.outcome(rows, &left_out));
    let of_trials = trials.iter().flat_map(Trial::outcomes);
    of_rows.chain(of_trials).collect()
}

impl Target {
    fn name(&self) -> String {
        let (scenario, peer) = self.ours;
        let (what, against) = (self.figure.name(), self.theirs.1.name());
        match self.figure {
            Figure::Unwanted | Figure::SenderMib => format!("{}: {what}", scenario.name()),
            Figure::Rate => format!("{}: {}, against {against}", scenario.name(), peer.name()),
            Figure::P50 | Figure::Cpu => format!("{}: {what}, against {against}", scenario.name()),
        }
    }

    /// A loss or a failure of tidings misses the target. Pairs with one of another peer do not count.
    fn outcome(self, rows: &[Summary], left_out: &[Peer]) -> Outcome {
        let row = |(scenario, peer)| find(rows, scenario, peer);
        let ours = row(self.ours).filter(|ours| ours.rate().is_some());
        let pair = ours.zip(row(self.theirs));
        let paired = |figure: Figure| {
            let (ours, theirs) = pair?;
            ours.paired(theirs, |ours, theirs| figure.of(ours, theirs))
        };
        let is_ratio = matches!(self.figure, Figure::Rate | Figure::P50);
        let figure = paired(self.figure);
        Outcome {
            target: self.name(),
            bound: self.bound,
            cpu: is_ratio.then(|| paired(Figure::Cpu)).flatten(),
            is_left_out: figure.is_none() && left_out.contains(&self.theirs.1),
            figure,
        }
    }
}

impl Figure {
    fn name(self) -> &'static str {
        match self {
            Self::Rate => "events a second",
            Self::P50 => "p50",
            Self::Cpu => "CPU of all processes an event",
            Self::Unwanted => "ns for an unwanted event",
            Self::SenderMib => "MiB of the sender",
        }
    }

    fn of(self, ours: &Run, theirs: &Run) -> f64 {
        match self {
            Self::Rate => ours.rate() / theirs.rate(),
            Self::P50 => ours.p50_us() / theirs.p50_us(),
            Self::Cpu => ours.cpu_ns() / theirs.cpu_ns(),
            Self::Unwanted => {
                let names = NAMES.0.names as f64;
                unwanted_ns(theirs.subscriber_cpu_ns(), ours.subscriber_cpu_ns(), names)
            }
            Self::SenderMib => ours.sender_mib(),
        }
    }
}

/// Returns the processor time of an unwanted event: the total without that of the wanted ones.
fn unwanted_ns(alone: f64, mixed: f64, names: f64) -> f64 {
    (mixed * names - alone) / (names - 1.0)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these figures are exact")]
mod tests {
    use super::*;
    use crate::rows;
    use crate::sender::Sent;
    use crate::subscriber::Received;

    /// A row whose runs took these milliseconds for 1,000 events, and lost this many each.
    fn row((scenario, peer): Cell, milliseconds: &[u64], lost: u64) -> Summary {
        let run = |&milliseconds: &u64| Run {
            events: 1_000,
            sent: vec![Sent::default()],
            received: vec![Received {
                received: 1_000 - lost,
                wanted: 1_000,
                last_ns: milliseconds * 1_000_000,
                p50_us: milliseconds as f64,
                ..Received::default()
            }],
            server_cpu_ns: 1_000 * milliseconds,
        };
        let row = Row {
            scenario,
            peer,
            events: 1_000,
        };
        let runs = milliseconds.iter().map(run).map(Some).collect();
        Summary::new(&row, runs, Vec::new())
    }

    fn outcome(figure: Figure, ours: Cell, rows: &[Summary], left_out: &[Peer]) -> Outcome {
        let targets = targets();
        let is_it = |target: &&Target| target.figure == figure && target.ours == ours;
        targets.iter().find(is_it).unwrap().outcome(rows, left_out)
    }

    fn fed(ours: &Summary, theirs: &Summary) -> Outcome {
        outcome(Figure::Rate, FED, &[ours.clone(), theirs.clone()], &[])
    }

    #[test]
    fn the_median_of_the_ratios_decides() {
        let ours = row(FED, &[100, 100, 100], 0);
        let theirs = |times| row((FEED_1, Redis), times, 0);
        let reached = fed(&ours, &theirs(&[100, 850, 900]));
        assert!(!reached.is_missed());
        let figure = reached.figure.unwrap();
        assert_eq!((figure.pairs, figure.spread.median), (3, 8.5));
        assert!(fed(&ours, &theirs(&[800, 840, 9_000])).is_missed());
    }

    #[test]
    fn a_ratio_of_rates_has_the_processor_time_beside_it() {
        let outcome = fed(&row(FED, &[30], 0), &row((FEED_1, Redis), &[100], 0));
        assert_eq!(outcome.cpu.unwrap().spread.median, 0.3);
    }

    #[test]
    fn a_loss_of_tidings_misses_the_target_and_one_of_another_peer_does_not_count() {
        let (ours, theirs) = (row(FED, &[1], 1), row((FEED_1, Redis), &[600], 0));
        assert!(fed(&ours, &theirs).is_missed());
        let ours = row(FED, &[1], 0);
        assert!(!fed(&ours, &theirs).is_missed());
        let theirs = row((FEED_1, Redis), &[600], 1);
        assert_eq!(fed(&ours, &theirs).figure, None);
    }

    #[test]
    fn a_target_of_a_peer_that_is_left_out_is_neither_reached_nor_missed() {
        let targets = targets();
        let nats = targets
            .iter()
            .find(|target| target.theirs.1 == Nats)
            .unwrap();
        let left = nats.outcome(&[], &[Nats]);
        assert!(left.is_left_out && !left.is_missed());
        assert!(nats.outcome(&[], &[]).is_missed());
    }

    #[test]
    fn only_the_targets_of_selected_rows_have_an_outcome() {
        let rows = [row(FED, &[1], 0), row((FEED_1, Redis), &[8], 0)];
        let outcomes = outcomes(&rows, &[], &[]);
        let names: Vec<_> = outcomes.iter().map(|outcome| &outcome.target).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(names.iter().all(|name| name.starts_with("feed, 1 → 1: ")));
    }

    #[test]
    fn latencies_and_processor_time_have_an_upper_bound() {
        let rate = Scenario::rate(5_000);
        let rows = [
            row((rate, TidingsJson), &[80], 0),
            row((rate, Redis), &[100], 0),
            row(FED, &[30], 0),
            row((FEED_1, Redis), &[100], 0),
        ];
        assert!(!outcome(Figure::P50, (rate, TidingsJson), &rows, &[]).is_missed());
        assert!(outcome(Figure::Cpu, FED, &rows, &[]).is_missed());
    }

    #[test]
    fn the_cost_of_an_unwanted_event_is_computed_from_two_rows() {
        // 255 of 40 ns and one of 1,000 ns.
        let mixed = (255.0 * 40.0 + 1_000.0) / 256.0;
        assert!((unwanted_ns(1_000.0, mixed, 256.0) - 40.0).abs() < 1e-9);
    }

    #[test]
    fn every_row_that_a_target_compares_exists_and_is_in_one_block_with_the_other() {
        let rows = rows::all();
        let is_there = |(scenario, peer): Cell| {
            rows.iter()
                .any(|row| row.scenario == scenario && row.peer == peer)
        };
        for target in targets() {
            assert!(
                is_there(target.ours) && is_there(target.theirs),
                "{target:?}"
            );
            let blocks = [target.ours, target.theirs].map(|(scenario, _)| scenario.block());
            assert_eq!(blocks[0], blocks[1], "{target:?}");
        }
        assert_eq!(rows.iter().filter(|row| needs(row)).count(), 50);
    }
}
