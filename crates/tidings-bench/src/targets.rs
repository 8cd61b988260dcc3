//! The targets, most of them a ratio of two rows of one run, and their outcomes.

use crate::outcome::{Bound, LeftOut, Outcome};
use crate::overload::Trial;
use crate::peers::Peer::{
    self, Faststream, Fred, Ioredis, Nats, NodeRedis, Redis, RedisPipelines, RedisPy, Ruststream,
    TidingsJson, TidingsMsgpack,
};
use crate::rows::{AWAIT_1, FEED_1, FEED_8, Row, Scenario, TASKS_1, TASKS_8};
use crate::summary::{Summary, find};
use crate::work::Load;

/// A target.
#[derive(Clone, Debug)]
struct Target {
    name: String,
    figure: Figure,
    bound: Bound,
}

/// The computation of a figure from rows.
#[derive(Clone, Copy, Debug)]
enum Figure {
    /// The events a second of the first row divided by those of the second.
    Rate(Cell, Cell),
    /// A latency of tidings divided by that of the redis crate.
    Latency(Scenario, fn(&Summary) -> f64),
    /// The processor time an event of all processes, of the first row divided by the second.
    Cpu(Cell, Cell),
    /// The smallest ratio of tidings to a peer, of all rows.
    Smallest(Peer),
    /// Nanoseconds of the subscriber for an unwanted event.
    Unwanted,
}

/// A scenario and a peer.
type Cell = (Scenario, Peer);

/// The peers that tidings must not be slower than in any row.
const NOT_SLOWER_THAN: [Peer; 6] = [Ioredis, NodeRedis, RedisPy, Faststream, Ruststream, Fred];

/// Returns the targets that depend on rows.
fn targets() -> Vec<Target> {
    let mut targets = rates();
    targets.extend(NOT_SLOWER_THAN.map(|peer| Target {
        name: format!("every row, against {}", peer.name()),
        figure: Figure::Smallest(peer),
        bound: Bound::AtLeast(1.0),
    }));
    targets.extend(latencies());
    targets.push(Target {
        name: "feed, 1 → 1: CPU of all processes an event, against redis crate, 256 in flight"
            .into(),
        figure: Figure::Cpu((FEED_1, TidingsJson), (FEED_1, Redis)),
        bound: Bound::AtMost(0.2),
    });
    targets.push(Target {
        name: "ns for an unwanted event, 255 of 256 names".into(),
        figure: Figure::Unwanted,
        bound: Bound::AtMost(60.0),
    });
    targets
}

fn rates() -> Vec<Target> {
    let in_flight = [
        ((FEED_1, TidingsJson), (FEED_1, Redis), 6.0),
        ((FEED_1, TidingsMsgpack), (FEED_1, Redis), 9.0),
        ((FEED_8, TidingsJson), (FEED_8, Redis), 5.0),
        ((FEED_8, TidingsMsgpack), (FEED_8, Redis), 9.0),
        // The best that the redis crate does: from one task, not from 256.
        ((TASKS_1, TidingsJson), (FEED_1, Redis), 2.5),
        ((TASKS_8, TidingsJson), (FEED_8, Redis), 3.5),
        ((AWAIT_1, TidingsJson), (AWAIT_1, Redis), 1.0),
    ];
    let nats = [
        ((FEED_1, TidingsJson), (FEED_1, Nats), 2.3),
        ((FEED_8, TidingsJson), (FEED_8, Nats), 3.0),
    ];
    let one_kib = FEED_8.of_size(1_024);
    let pipelines = [
        ((FEED_1, TidingsJson), (FEED_1, RedisPipelines), 4.5),
        ((FEED_8, TidingsJson), (FEED_8, RedisPipelines), 4.2),
        ((one_kib, TidingsJson), (one_kib, RedisPipelines), 2.0),
    ];
    let all = in_flight.into_iter().chain(nats).chain(pipelines);
    let target = |(ours, theirs, least): (Cell, Cell, f64)| Target {
        name: format!(
            "{}: {}, against {}",
            ours.0.name(),
            ours.1.name(),
            theirs.1.name()
        ),
        figure: Figure::Rate(ours, theirs),
        bound: Bound::AtLeast(least),
    };
    all.map(target).collect()
}

fn latencies() -> Vec<Target> {
    let p50 = ("p50", (|row| row.p50_us.median) as fn(&Summary) -> f64);
    let p99 = ("p99", (|row| row.p99_us.median) as fn(&Summary) -> f64);
    let all = [
        (1_000, p50, 1.0),
        (1_000, p99, 1.0),
        (5_000, p50, 1.0),
        (5_000, p99, 1.0),
        (100_000, p50, 0.25),
        (200_000, p50, 0.1),
    ];
    let target = |(per_second, (name, latency), most)| {
        let scenario = Scenario::rate(per_second);
        Target {
            name: format!("{}: {name}, against {}", scenario.name(), Redis.name()),
            figure: Figure::Latency(scenario, latency),
            bound: Bound::AtMost(most),
        }
    };
    all.map(target).into_iter().collect()
}

/// Returns whether a target needs this row.
pub(crate) fn needs(row: &Row) -> bool {
    let cell = (row.scenario, row.peer);
    targets().iter().any(|target| target.figure.needs(cell))
}

/// Returns the outcomes of all targets: those of rows, and those of overload trials.
pub(crate) fn outcomes(rows: &[Summary], trials: &[Trial], left_out: &[LeftOut]) -> Vec<Outcome> {
    let left_out: Vec<Peer> = left_out.iter().map(|left| left.id).collect();
    let of_rows = targets()
        .into_iter()
        .map(|target| target.outcome(rows, &left_out));
    let of_trials = trials.iter().flat_map(Trial::outcomes);
    of_rows.chain(of_trials).collect()
}

impl Target {
    fn outcome(self, rows: &[Summary], left_out: &[Peer]) -> Outcome {
        let is_left_out = left_out.iter().any(|&peer| self.figure.is_about(peer));
        let (figure, remark) = match self.figure.of(rows) {
            Some((figure, remark)) => (Some(figure), remark),
            None if is_left_out => (None, "its peer is left out".to_owned()),
            None => (None, "a row that it needs has no figure".to_owned()),
        };
        Outcome {
            target: self.name,
            bound: self.bound,
            is_left_out: is_left_out && figure.is_none(),
            figure,
            remark,
        }
    }
}

impl Figure {
    fn needs(self, cell: Cell) -> bool {
        match self {
            Self::Rate(ours, theirs) | Self::Cpu(ours, theirs) => cell == ours || cell == theirs,
            Self::Latency(scenario, _) => {
                cell.0 == scenario && matches!(cell.1, TidingsJson | Redis)
            }
            // All rows of the peer, and those of tidings that may have a counterpart.
            Self::Smallest(peer) => cell.1 == peer || (cell.1 == TidingsJson && is_plain(cell.0)),
            Self::Unwanted => {
                cell.1 == TidingsJson && [FEED_1, FEED_1.with_names(256)].contains(&cell.0)
            }
        }
    }

    fn is_about(self, peer: Peer) -> bool {
        match self {
            Self::Rate(ours, theirs) | Self::Cpu(ours, theirs) => {
                ours.1 == peer || theirs.1 == peer
            }
            Self::Smallest(other) => other == peer,
            Self::Latency(..) | Self::Unwanted => false,
        }
    }

    /// Returns the figure, and a remark.
    fn of(self, rows: &[Summary]) -> Option<(f64, String)> {
        let row = |(scenario, peer): Cell| find(rows, scenario, peer);
        let figure = match self {
            Self::Rate(ours, theirs) => row(ours)?.rate()? / row(theirs)?.rate()?,
            Self::Cpu(ours, theirs) => {
                let (ours, theirs) = (row(ours)?, row(theirs)?);
                (ours.rate()?, ours.cpu_ns / theirs.cpu_ns).1
            }
            Self::Latency(scenario, latency) => {
                let (ours, theirs) = (row((scenario, TidingsJson))?, row((scenario, Redis))?);
                (ours.rate()?, latency(ours) / latency(theirs)).1
            }
            Self::Smallest(peer) => return least_ahead(rows, peer),
            Self::Unwanted => {
                let alone = row((FEED_1, TidingsJson))?.subscriber_cpu_ns;
                let mixed = row((FEED_1.with_names(256), TidingsJson))?.subscriber_cpu_ns;
                unwanted_ns(alone, mixed, 256.0)
            }
        };
        Some((figure, String::new()))
    }
}

/// Returns whether the events of a scenario are the usual ones.
fn is_plain(scenario: Scenario) -> bool {
    let plain = scenario.of_size(124).with_names(1).with_handlers(1);
    scenario == plain
}

/// Returns the processor time of an unwanted event: the total without that of the wanted ones.
fn unwanted_ns(alone: f64, mixed: f64, names: f64) -> f64 {
    (mixed * names - alone) / (names - 1.0)
}

/// Returns the smallest ratio of tidings to a peer, and its row. A row in which the peer lost
/// events has no rate and does not count.
fn least_ahead(rows: &[Summary], peer: Peer) -> Option<(f64, String)> {
    let theirs = rows
        .iter()
        .filter(|row| row.peer == peer && row.rate().is_some());
    let ratios = theirs.filter_map(|theirs| {
        let ours = find(rows, theirs.scenario, TidingsJson)?;
        let ratio = match theirs.scenario.load {
            Load::Rate => theirs.p50_us.median / ours.p50_us.median,
            _ => ours.rate()? / theirs.rate()?,
        };
        Some((ratio, format!("smallest in {}", theirs.name)))
    });
    ratios.min_by(|one, other| one.0.total_cmp(&other.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows;
    use crate::run::Run;
    use crate::sender::Sent;
    use crate::subscriber::Received;

    /// A row whose run took this many milliseconds for 1,000 events, and lost this many.
    fn row((scenario, peer): Cell, milliseconds: u64, lost: u64) -> Summary {
        let received = Received {
            received: 1_000 - lost,
            wanted: 1_000,
            last_ns: milliseconds * 1_000_000,
            p50_us: milliseconds as f64,
            ..Received::default()
        };
        let run = Run {
            events: 1_000,
            sent: vec![Sent::default()],
            received: vec![received],
            server_cpu_ns: 1_000 * milliseconds,
        };
        let row = Row {
            scenario,
            peer,
            events: 1_000,
        };
        Summary::new(&row, &[run], Vec::new())
    }

    fn outcome(target: &str, rows: &[Summary], left_out: &[Peer]) -> Outcome {
        let targets = targets();
        let target = targets.iter().find(|known| known.name == target).unwrap();
        target.clone().outcome(rows, left_out)
    }

    const SIX: &str = "feed, 1 → 1: tidings, JSON, against redis crate, 256 in flight";

    #[test]
    fn a_ratio_of_rates_is_reached_or_not() {
        let rows = |ours| {
            [
                row((FEED_1, TidingsJson), ours, 0),
                row((FEED_1, Redis), 600, 0),
            ]
        };
        assert!(!outcome(SIX, &rows(100), &[]).is_missed());
        assert_eq!(outcome(SIX, &rows(200), &[]).figure, Some(3.0));
        assert!(outcome(SIX, &rows(200), &[]).is_missed());
    }

    #[test]
    fn a_row_with_a_loss_misses_its_target() {
        let rows = [
            row((FEED_1, TidingsJson), 1, 1),
            row((FEED_1, Redis), 600, 0),
        ];
        assert!(outcome(SIX, &rows, &[]).is_missed());
        assert!(outcome(SIX, &[], &[]).is_missed());
    }

    #[test]
    fn a_target_of_a_peer_that_is_left_out_is_neither_reached_nor_missed() {
        let target = "every row, against ioredis";
        let left = outcome(target, &[], &[Ioredis]);
        assert!(left.is_left_out && !left.is_missed());
        assert!(outcome(target, &[], &[]).is_missed());
    }

    #[test]
    fn the_row_with_the_smallest_ratio_decides() {
        let rows = [
            row((FEED_1, TidingsJson), 100, 0),
            row((FEED_1, Fred), 300, 0),
            row((AWAIT_1, TidingsJson), 100, 0),
            row((AWAIT_1, Fred), 90, 0),
        ];
        let outcome = outcome("every row, against fred", &rows, &[]);
        assert_eq!(outcome.figure, Some(0.9));
        assert_eq!(outcome.remark, "smallest in await each, 1 → 1");
        assert!(outcome.is_missed());
    }

    #[test]
    fn latencies_and_processor_time_have_an_upper_bound() {
        let brisk = Scenario::rate(5_000);
        let rows = [
            row((brisk, TidingsJson), 90, 0),
            row((brisk, Redis), 100, 0),
            row((FEED_1, TidingsJson), 30, 0),
            row((FEED_1, Redis), 100, 0),
        ];
        let p50 = "5,000/s, 1 → 1: p50, against redis crate, 256 in flight";
        assert!(!outcome(p50, &rows, &[]).is_missed());
        let cpu = "feed, 1 → 1: CPU of all processes an event, against redis crate, 256 in flight";
        let cpu = outcome(cpu, &rows, &[]);
        assert!((cpu.figure.unwrap() - 0.3).abs() < 1e-9);
        assert!(cpu.is_missed());
    }

    #[test]
    fn the_cost_of_an_unwanted_event_is_computed_from_two_rows() {
        // 255 of 40 ns and one of 1,000 ns.
        let mixed = (255.0 * 40.0 + 1_000.0) / 256.0;
        assert!((unwanted_ns(1_000.0, mixed, 256.0) - 40.0).abs() < 1e-9);
    }

    #[test]
    fn every_row_that_a_target_compares_exists() {
        let rows = rows::all();
        let is_there = |(scenario, peer): Cell| {
            rows.iter()
                .any(|row| row.scenario == scenario && row.peer == peer)
        };
        for target in targets() {
            match target.figure {
                Figure::Rate(ours, theirs) | Figure::Cpu(ours, theirs) => {
                    assert!(is_there(ours) && is_there(theirs), "{target:?}");
                }
                Figure::Latency(scenario, _) => {
                    assert!(is_there((scenario, TidingsJson)) && is_there((scenario, Redis)));
                }
                Figure::Smallest(peer) => assert!(rows.iter().any(|row| row.peer == peer)),
                Figure::Unwanted => assert!(is_there((FEED_1.with_names(256), TidingsJson))),
            }
        }
        assert!(rows.iter().filter(|row| needs(row)).count() < rows.len());
    }

    #[test]
    fn tidings_has_a_row_for_every_row_of_its_peers() {
        let rows = rows::all();
        for row in rows
            .iter()
            .filter(|row| NOT_SLOWER_THAN.contains(&row.peer))
        {
            let ours = Row {
                peer: TidingsJson,
                ..*row
            };
            let is_ours = |row: &&Row| row.scenario == ours.scenario && row.peer == ours.peer;
            assert!(rows.iter().find(is_ours).is_some_and(needs), "{row:?}");
        }
    }
}
