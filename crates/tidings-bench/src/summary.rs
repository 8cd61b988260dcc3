//! The runs of one row, summarized: medians and ranges.

use serde::Serialize;

use crate::peers::Peer;
use crate::rows::{Row, Scenario};
use crate::run::Run;

/// The minimum, median and maximum of a figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
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
    /// Processor time in nanoseconds an event: of all senders, of one subscriber, of the server,
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
    pub(crate) fn new(row: &Row, runs: &[Run], failures: Vec<String>) -> Self {
        let spread = |figure: fn(&Run) -> f64| Spread::of(runs.iter().map(figure));
        let sum = |count: fn(&Run) -> u64| runs.iter().map(count).sum();
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
            p50_us: spread(|run| run.latency(|received| received.p50_us)),
            p90_us: spread(|run| run.latency(|received| received.p90_us)),
            p99_us: spread(|run| run.latency(|received| received.p99_us)),
            sender_mib: spread(Run::sender_mib).median,
            subscriber_mib: spread(Run::subscriber_mib).median,
            failures,
        }
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

    fn summary(runs: &[Run]) -> Summary {
        let row = Row {
            scenario: FEED_1,
            peer: Peer::Redis,
            events: 1_000,
        };
        Summary::new(&row, runs, Vec::new())
    }

    #[test]
    fn a_median_is_the_middle_figure_or_the_mean_of_the_two_middle_ones() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0].into_iter()).median, 2.0);
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0].into_iter()).median, 2.5);
        assert_eq!(Spread::of(std::iter::empty()), Spread::default());
    }

    #[test]
    fn a_rate_is_measured_from_the_first_send_to_the_last_receipt() {
        let summary = summary(&[run(1, 1_000), run(2, 1_000), run(4, 1_000)]);
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
        let summary = summary(&[run(1, 1_000), run(1, 998)]);
        assert_eq!((summary.rate(), summary.lost), (None, 4));
    }
}
