//! The runs of one row, summarized: medians and ranges.

use serde::Serialize;

use crate::peers::Peer;
use crate::rows::{Row, Scenario, thousands};
use crate::run::Run;

/// The minimum, median and maximum of a figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

/// A figure of pairs of runs: each pair ran directly after each other, in one round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Paired {
    pub(crate) pairs: usize,
    #[serde(flatten)]
    pub(crate) spread: Spread,
}

/// The figures of one row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) name: String,
    pub(crate) scenario: Scenario,
    pub(crate) peer: Peer,
    pub(crate) events: u64,
    /// `None` where a run lost events: a rate would mean nothing.
    pub(crate) events_per_second: Option<Spread>,
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
    /// Processor time in nanoseconds an event: of all senders, of one subscriber, of all servers,
    /// and of all processes together.
    pub(crate) sender_cpu_ns: f64,
    pub(crate) subscriber_cpu_ns: f64,
    pub(crate) server_cpu_ns: f64,
    pub(crate) cpu_ns: f64,
    /// One-way latencies, where they were measured.
    pub(crate) p50_us: Spread,
    pub(crate) p90_us: Spread,
    pub(crate) p99_us: Spread,
    /// Peak memory of a process.
    pub(crate) sender_mib: f64,
    pub(crate) subscriber_mib: f64,
    /// The errors of failed runs.
    pub(crate) failures: Vec<String>,
    /// The runs, round by round; `None` where one failed.
    runs: Vec<Option<Run>>,
}

impl Paired {
    /// A figure that was measured once.
    pub(crate) fn of_one(figure: f64) -> Self {
        Self {
            pairs: 1,
            spread: Spread::of([figure].into_iter()),
        }
    }
}

impl Spread {
    pub(crate) fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        match &*figures {
            [] => Self::default(),
            [least, ..] => Self {
                least: *least,
                median: median(&figures),
                most: figures[figures.len() - 1],
            },
        }
    }
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    }
}

impl Summary {
    pub(crate) fn new(row: &Row, runs: Vec<Option<Run>>, failures: Vec<String>) -> Self {
        let done = || runs.iter().flatten();
        let spread = |figure: fn(&Run) -> f64| Spread::of(done().map(figure));
        let sum = |count: fn(&Run) -> u64| done().map(count).sum();
        let lost = sum(Run::lost);
        let is_whole = lost == 0 && failures.is_empty() && !runs.is_empty();
        Self {
            name: row.scenario.name(),
            scenario: row.scenario,
            peer: row.peer,
            events: row.events,
            events_per_second: is_whole.then(|| spread(Run::rate)),
            lost,
            duplicates: sum(Run::duplicates),
            out_of_order: sum(Run::out_of_order),
            sender_cpu_ns: spread(Run::sender_cpu_ns).median,
            subscriber_cpu_ns: spread(Run::subscriber_cpu_ns).median,
            server_cpu_ns: spread(Run::server_cpu_ns).median,
            cpu_ns: spread(Run::cpu_ns).median,
            p50_us: spread(Run::p50_us),
            p90_us: spread(|run| run.latency(|received| received.p90_us)),
            p99_us: spread(|run| run.latency(|received| received.p99_us)),
            sender_mib: spread(Run::sender_mib).median,
            subscriber_mib: spread(Run::subscriber_mib).median,
            failures,
            runs,
        }
    }

    /// Returns a figure of each round's pair of runs, this row's and another's. Pairs in which a run
    /// failed or lost events do not count.
    pub(crate) fn paired(
        &self,
        other: &Self,
        figure: impl Fn(&Run, &Run) -> f64,
    ) -> Option<Paired> {
        let pairs = self.runs.iter().zip(&other.runs);
        let figures = pairs.filter_map(|(ours, theirs)| {
            let (ours, theirs) = (ours.as_ref()?, theirs.as_ref()?);
            (ours.lost() + theirs.lost() == 0).then(|| figure(ours, theirs))
        });
        let figures: Vec<f64> = figures.filter(|figure| figure.is_finite()).collect();
        (!figures.is_empty()).then(|| Paired {
            pairs: figures.len(),
            spread: Spread::of(figures.into_iter()),
        })
    }

    /// Returns what went wrong: failures, duplicates, events out of order. A loss has a column.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = self.failures.clone();
        for (count, what) in [
            (self.out_of_order, "out of order"),
            (self.duplicates, "received twice"),
        ] {
            if count > 0 {
                complaints.push(format!("{} events {what}", thousands(count)));
            }
        }
        complaints
    }

    pub(crate) fn rate(&self) -> Option<f64> {
        self.events_per_second.map(|rate| rate.median)
    }
}

/// Returns the summary of a scenario and a peer.
pub(crate) fn find(summaries: &[Summary], scenario: Scenario, peer: Peer) -> Option<&Summary> {
    summaries
        .iter()
        .find(|summary| summary.scenario == scenario && summary.peer == peer)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these figures are exact")]
mod tests {
    use super::*;
    use crate::rows::FEED_1;
    use crate::sender::Sent;
    use crate::subscriber::Received;

    fn run(seconds: u64, received: u64) -> Run {
        let sent = Sent {
            first_ns: 5,
            cpu_ns: 2_000,
            ..Sent::default()
        };
        let received = Received {
            received,
            wanted: 1_000,
            last_ns: 5 + seconds * 1_000_000_000,
            cpu_ns: 3_000,
            ..Received::default()
        };
        Run {
            events: 1_000,
            sent: vec![sent],
            received: vec![received.clone(), received],
            server_cpu_ns: 4_000,
        }
    }

    fn summary<const COUNT: usize>(runs: [Option<Run>; COUNT]) -> Summary {
        let row = Row {
            scenario: FEED_1,
            peer: Peer::Redis,
            events: 1_000,
        };
        Summary::new(&row, runs.into(), Vec::new())
    }

    #[test]
    fn a_median_is_the_middle_figure_or_the_mean_of_the_two_middle_ones() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0].into_iter()).median, 2.0);
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0].into_iter()).median, 2.5);
        assert_eq!(Spread::of(std::iter::empty()), Spread::default());
    }

    #[test]
    fn a_rate_is_measured_from_the_first_send_to_the_last_receipt() {
        let summary = summary([1, 2, 4].map(|seconds| Some(run(seconds, 1_000))));
        let rate = summary.events_per_second.unwrap();
        assert_eq!(
            (rate.least, rate.median, rate.most),
            (250.0, 500.0, 1_000.0)
        );
        assert_eq!(summary.sender_cpu_ns, 2.0);
        assert_eq!(summary.subscriber_cpu_ns, 3.0);
        assert_eq!(summary.cpu_ns, 2.0 + 3.0 + 3.0 + 4.0);
    }

    #[test]
    fn a_row_with_a_loss_has_no_rate() {
        let summary = summary([1_000, 998].map(|received| Some(run(1, received))));
        assert_eq!((summary.rate(), summary.lost), (None, 4));
    }
    #[test]
    fn a_ratio_is_the_median_of_the_ratios_of_pairs() {
        let runs = |seconds: [u64; 3]| summary(seconds.map(|each| Some(run(each, 1_000))));
        // The machine was busy in the second round, and slowed both down.
        let (ours, theirs) = (runs([1, 20, 2]), runs([4, 40, 6]));
        let ratio = ours.paired(&theirs, |ours, theirs| ours.rate() / theirs.rate());
        let Paired { pairs, spread } = ratio.unwrap();
        assert_eq!(pairs, 3);
        assert_eq!((spread.least, spread.median, spread.most), (2.0, 3.0, 4.0));
    }

    #[test]
    fn a_pair_with_a_failed_run_or_a_loss_does_not_count() {
        let ours = summary([Some(run(1, 1_000)), Some(run(1, 999)), Some(run(1, 1_000))]);
        let theirs = summary([None, Some(run(5, 1_000)), Some(run(3, 1_000))]);
        let ratio = ours.paired(&theirs, |ours, theirs| ours.rate() / theirs.rate());
        let ratio = ratio.unwrap();
        assert_eq!((ratio.pairs, ratio.spread.median), (1, 3.0));
        assert_eq!(summary([None]).paired(&ours, |_, _| 1.0), None);
    }

    #[test]
    fn a_row_with_fewer_rounds_is_paired_in_those() {
        let [long, short] = [
            summary([Some(run(1, 1_000)), Some(run(1, 1_000))]),
            summary([Some(run(1, 1_000))]),
        ];
        assert_eq!(
            long.paired(&short, |_, _| 1.0).map(|paired| paired.pairs),
            Some(1)
        );
    }
}
