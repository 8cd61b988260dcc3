//! The results as a table for people, or as JSON.

use serde::Serialize;

use crate::plan::{Peer, Run, Scenario};

/// A scenario with its runs.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) scenario: Scenario,
    pub(crate) runs: Vec<Run>,
}

/// The medians of a row.
#[derive(Debug, Serialize)]
struct Summary {
    scenario: &'static str,
    peer: &'static str,
    /// `None` when a run lost, repeated or misordered events: then no rate means anything.
    events_per_second: Option<[f64; 3]>,
    lost: u64,
    misordered: u64,
    sender_cpu_ns: f64,
    hearer_cpu_ns: f64,
    redis_cpu_ns: f64,
    p50_us: f64,
    p99_us: f64,
    sender_rss_mib: f64,
    hearer_rss_mib: f64,
}

impl Row {
    pub(crate) fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            runs: Vec::new(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "the figures are far below 2^52")]
    fn summary(&self) -> Summary {
        let events = self.scenario.events as f64;
        let median = |figure: &dyn Fn(&Run) -> f64| spread(self.runs.iter().map(figure))[1];
        let rate = |run: &Run| {
            let nanoseconds = run.heard.last_ns.saturating_sub(run.sent.first_ns) as f64;
            events * 1e9 / nanoseconds
        };
        let sum = |count: &dyn Fn(&Run) -> u64| self.runs.iter().map(count).sum();
        let lost = sum(&|run| self.scenario.events.saturating_sub(run.heard.heard));
        Summary {
            scenario: self.scenario.name,
            peer: match self.scenario.peer {
                Peer::Redis => "redis crate",
                Peer::Json => "tidings JSON",
                Peer::Msgpack => "tidings MessagePack",
            },
            events_per_second: (lost == 0).then(|| spread(self.runs.iter().map(rate))),
            lost,
            misordered: sum(&|run| run.heard.misordered),
            sender_cpu_ns: median(&|run| run.sent.cpu_ns as f64 / events),
            hearer_cpu_ns: median(&|run| run.heard.cpu_ns as f64 / events),
            redis_cpu_ns: median(&|run| run.redis_cpu_ns as f64 / events),
            p50_us: median(&|run| run.heard.p50_us),
            p99_us: median(&|run| run.heard.p99_us),
            sender_rss_mib: median(&|run| run.sent.rss_kib as f64 / 1024.0),
            hearer_rss_mib: median(&|run| run.heard.rss_kib as f64 / 1024.0),
        }
    }
}

/// The least, the median and the greatest.
fn spread(figures: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    match &*figures {
        [] => [0.0; 3],
        [least, ..] => [
            *least,
            figures[figures.len() / 2],
            figures[figures.len() - 1],
        ],
    }
}

#[expect(clippy::print_stdout, reason = "this is the program's output")]
pub(crate) fn json(rows: &[Row]) -> anyhow::Result<()> {
    let summaries: Vec<_> = rows.iter().map(Row::summary).collect();
    println!("{}", serde_json::to_string_pretty(&summaries)?);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is the program's output")]
#[expect(clippy::unnecessary_wraps, reason = "as the other form")]
pub(crate) fn table(rows: &[Row]) -> anyhow::Result<()> {
    println!("\r{:60}", "");
    println!(
        "{:<12} {:<20} {:>12} {:>23} {:>7} {:>8} {:>8} {:>8} {:>9} {:>9} {:>11}",
        "",
        "",
        "events/s",
        "(min-max)",
        "ratio",
        "sender",
        "hearer",
        "redis",
        "p50 µs",
        "p99 µs",
        "MiB s/h"
    );
    println!("{:<58} {:>21} {:>8} {:>8}", "", "CPU ns an event:", "", "");
    let summaries: Vec<_> = rows.iter().map(Row::summary).collect();
    for row in &summaries {
        let base = summaries
            .iter()
            .find(|base| base.scenario == row.scenario && base.peer == "redis crate");
        let base = base.and_then(|base| base.events_per_second);
        let (rate, range, ratio) = match (row.events_per_second, base) {
            (Some([least, median, most]), base) => (
                format!("{median:.0}"),
                format!("({least:.0}-{most:.0})"),
                base.map_or(String::new(), |[_, base, _]| {
                    format!("{:.2}", median / base)
                }),
            ),
            (None, _) => (format!("{} lost", row.lost), String::new(), String::new()),
        };
        println!(
            "{:<12} {:<20} {rate:>12} {range:>23} {ratio:>7} {:>8.0} {:>8.0} {:>8.0} {:>9.1} {:>9.1} {:>5.0}/{:<5.0}",
            row.scenario,
            row.peer,
            row.sender_cpu_ns,
            row.hearer_cpu_ns,
            row.redis_cpu_ns,
            row.p50_us,
            row.p99_us,
            row.sender_rss_mib,
            row.hearer_rss_mib,
        );
        if row.misordered > 0 {
            println!("{:33} {} events out of order", "", row.misordered);
        }
    }
    Ok(())
}
