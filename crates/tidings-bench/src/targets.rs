//! The figures to reach, each a ratio within one run, and which of them were.

use std::fmt;

use serde::Serialize;

use crate::overload::Trial;
use crate::peers::Peer::{
    self, Faststream, Fred, Ioredis, Nats, NodeRedis, Redis, RedisPipelines, RedisPy, Ruststream,
    TidingsJson, TidingsMsgpack,
};
use crate::rounds::LeftOut;
use crate::rows::{AWAIT_1, FEED_1, FEED_8, Row, Scenario, TASKS_1, TASKS_8};
use crate::summary::{Summary, find};
use crate::work::Load;

/// What a figure must not fall below, or not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// A figure to reach.
#[derive(Clone, Debug)]
struct Target {
    name: String,
    figure: Figure,
    bound: Bound,
}

/// How a figure is made from rows.
#[derive(Clone, Copy, Debug)]
enum Figure {
    /// The events a second of one row in those of another.
    Rate(Cell, Cell),
    /// A latency of tidings in that of the redis crate.
    Latency(Scenario, fn(&Summary) -> f64),
    /// The processor time an event of all processes, in that of another row.
    Cpu(Cell, Cell),
    /// How far tidings is ahead of a peer in the row where it is least.
    Ahead(Peer),
    /// Nanoseconds of the hearer for an event that it does not want.
    Unwanted,
}

/// A scenario as one peer does it.
type Cell = (Scenario, Peer);

/// What became of a target.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) target: String,
    pub(crate) bound: Bound,
    /// What was measured, where it could be.
    pub(crate) figure: Option<f64>,
    /// Why it was not, or what there is to say.
    pub(crate) remark: String,
    /// Whether nobody could measure it here: a peer is left out.
    pub(crate) is_left_out: bool,
}

/// Behind whom tidings must be nowhere.
const BEHIND: [Peer; 6] = [Ioredis, NodeRedis, RedisPy, Faststream, Ruststream, Fred];

/// The targets that rows decide.
fn targets() -> Vec<Target> {
    let mut targets = rates();
    targets.extend(BEHIND.map(|peer| Target {
        name: format!("every row, against {}", peer.name()),
        figure: Figure::Ahead(peer),
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

/// Whether a target needs this row.
pub(crate) fn needs(row: &Row) -> bool {
    let cell = (row.scenario, row.peer);
    targets().iter().any(|target| target.figure.needs(cell))
}

/// What became of all targets: those that rows decide, and those of the trials.
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
            // Only what the peer takes part in is needed of tidings; that is all of its rows.
            Self::Ahead(peer) => cell.1 == peer || (cell.1 == TidingsJson && is_plain(cell.0)),
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
            Self::Ahead(other) => other == peer,
            Self::Latency(..) | Self::Unwanted => false,
        }
    }

    /// The figure, and what there is to say about it.
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
            Self::Ahead(peer) => return least_ahead(rows, peer),
            Self::Unwanted => {
                let alone = row((FEED_1, TidingsJson))?.hearer_cpu_ns;
                let mixed = row((FEED_1.with_names(256), TidingsJson))?.hearer_cpu_ns;
                unwanted_ns(alone, mixed, 256.0)
            }
        };
        Some((figure, String::new()))
    }
}

/// One hearer, or eight, and nothing special about the events.
fn is_plain(scenario: Scenario) -> bool {
    let plain = scenario.of_size(124).with_names(1).with_handlers(1);
    scenario == plain
}

/// The processor time of an unwanted event: what is left when the wanted ones are taken away.
fn unwanted_ns(alone: f64, mixed: f64, names: f64) -> f64 {
    (mixed * names - alone) / (names - 1.0)
}

/// How far tidings is ahead of a peer where it is least, and where that is. Where the peer lost
/// events it has no rate, and nobody can be behind it.
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
        Some((ratio, format!("least in {}", theirs.name)))
    });
    ratios.min_by(|one, other| one.0.total_cmp(&other.0))
}

impl Bound {
    pub(crate) fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::AtMost(most) => write!(f, "at most {most}"),
        }
    }
}

impl Outcome {
    /// Whether it falls short. A target whose peer is left out is neither reached nor missed.
    pub(crate) fn is_short(&self) -> bool {
        let holds = self.figure.is_some_and(|figure| self.bound.holds(figure));
        !holds && !self.is_left_out
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match (self.is_left_out, self.is_short()) {
            (true, _) => "not measured",
            (false, true) => "FALLS SHORT",
            (false, false) => "reached",
        };
        let figure = self
            .figure
            .map_or("-".to_owned(), |figure| format!("{figure:.2}"));
        let bound = self.bound.to_string();
        write!(f, "{:<84} {figure:>9}  {bound:<15} {word}", self.target)?;
        if self.remark.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", self.remark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hearing::Heard;
    use crate::rows;
    use crate::run::Run;
    use crate::sending::Sent;

    /// A row whose run took so many milliseconds for 1,000 events, or lost one.
    fn row((scenario, peer): Cell, milliseconds: u64, lost: u64) -> Summary {
        let heard = Heard {
            heard: 1_000 - lost,
            wanted: 1_000,
            last_ns: milliseconds * 1_000_000,
            p50_us: milliseconds as f64,
            ..Heard::default()
        };
        let run = Run {
            events: 1_000,
            sent: vec![Sent::default()],
            heard: vec![heard],
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
        assert!(!outcome(SIX, &rows(100), &[]).is_short());
        assert_eq!(outcome(SIX, &rows(200), &[]).figure, Some(3.0));
        assert!(outcome(SIX, &rows(200), &[]).is_short());
    }

    #[test]
    fn a_row_with_a_loss_reaches_nothing() {
        let rows = [
            row((FEED_1, TidingsJson), 1, 1),
            row((FEED_1, Redis), 600, 0),
        ];
        assert!(outcome(SIX, &rows, &[]).is_short());
        assert!(outcome(SIX, &[], &[]).is_short());
    }

    #[test]
    fn who_is_left_out_is_neither_reached_nor_missed() {
        let target = "every row, against ioredis";
        let left = outcome(target, &[], &[Ioredis]);
        assert!(left.is_left_out && !left.is_short());
        assert!(outcome(target, &[], &[]).is_short());
    }

    #[test]
    fn the_row_where_it_is_least_ahead_decides() {
        let rows = [
            row((FEED_1, TidingsJson), 100, 0),
            row((FEED_1, Fred), 300, 0),
            row((AWAIT_1, TidingsJson), 100, 0),
            row((AWAIT_1, Fred), 90, 0),
        ];
        let outcome = outcome("every row, against fred", &rows, &[]);
        assert_eq!(outcome.figure, Some(0.9));
        assert_eq!(outcome.remark, "least in await each, 1 → 1");
        assert!(outcome.is_short());
    }

    #[test]
    fn latencies_and_cpu_must_not_exceed() {
        let brisk = Scenario::rate(5_000);
        let rows = [
            row((brisk, TidingsJson), 90, 0),
            row((brisk, Redis), 100, 0),
            row((FEED_1, TidingsJson), 30, 0),
            row((FEED_1, Redis), 100, 0),
        ];
        let p50 = "5,000/s, 1 → 1: p50, against redis crate, 256 in flight";
        assert!(!outcome(p50, &rows, &[]).is_short());
        let cpu = "feed, 1 → 1: CPU of all processes an event, against redis crate, 256 in flight";
        let cpu = outcome(cpu, &rows, &[]);
        assert!((cpu.figure.unwrap() - 0.3).abs() < 1e-9);
        assert!(cpu.is_short());
    }

    #[test]
    fn an_unwanted_event_costs_what_the_wanted_do_not() {
        // 255 of 40 ns and one of 1,000 ns.
        let mixed = (255.0 * 40.0 + 1_000.0) / 256.0;
        assert!((unwanted_ns(1_000.0, mixed, 256.0) - 40.0).abs() < 1e-9);
    }

    #[test]
    fn every_row_that_a_target_compares_is_there() {
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
                Figure::Ahead(peer) => assert!(rows.iter().any(|row| row.peer == peer)),
                Figure::Unwanted => assert!(is_there((FEED_1.with_names(256), TidingsJson))),
            }
        }
        assert!(rows.iter().filter(|row| needs(row)).count() < rows.len());
    }

    #[test]
    fn tidings_runs_wherever_its_rivals_do() {
        let rows = rows::all();
        for row in rows.iter().filter(|row| BEHIND.contains(&row.peer)) {
            let ours = Row {
                peer: TidingsJson,
                ..*row
            };
            let is_ours = |row: &&Row| row.scenario == ours.scenario && row.peer == ours.peer;
            assert!(rows.iter().find(is_ours).is_some_and(needs), "{row:?}");
        }
    }
}
