//! `--against REVISION`: tidings now and then, row by row, as ratios of paired runs.

use std::fmt;
use std::io::{IsTerminal, stdout};

use anyhow::{Context, bail, ensure};
use serde::Serialize;

use crate::peers::Peer;
use crate::plan::{Plan, peers_of};
use crate::report::Paint;
use crate::revision::Revision;
use crate::rounds::{self, Entry};
use crate::rows::{Row, Topology, thousands};
use crate::run::{self, Run};
use crate::servers::Servers;
use crate::summary::{Paired, Summary};
use crate::work::{Load, Work};
use crate::{json, process::Program};

/// A figure of a run.
type OfRun = fn(&Run) -> f64;

/// The figures that are compared. At a fixed rate, the first says nothing.
const FIGURES: [(&str, OfRun); 5] = [
    ("events a second", Run::rate),
    ("CPU ns an event", Run::cpu_ns),
    ("p50 µs", Run::p50_us),
    ("MiB of the sender", Run::sender_mib),
    ("MiB of a subscriber", Run::subscriber_mib),
];

/// The comparison of two revisions.
#[derive(Debug, Serialize)]
struct Comparison {
    /// The revision compared with.
    then: String,
    seed: u64,
    rows: Vec<Compared>,
}

/// A row in both revisions.
#[derive(Debug, Serialize)]
struct Compared {
    name: String,
    peer: &'static str,
    figures: Vec<Figure>,
    /// Losses and failures.
    complaints: Vec<String>,
}

/// A figure: the medians, and the ratios of the pairs.
#[derive(Debug, Serialize)]
struct Figure {
    what: &'static str,
    now: f64,
    then: f64,
    ratio: Paired,
}

/// Builds the revision, runs the rows in both versions, and shows the comparison.
pub(crate) async fn run(plan: &Plan, revision: &str, mut rows: Vec<Row>) -> anyhow::Result<()> {
    ensure!(
        !rows.is_empty(),
        "no row of tidings that a target needs has this name: see `--list --against REVISION`"
    );
    let revision = Revision::find(revision).await?;
    let programs = revision.programs().await?;
    let [_, then] = &programs;
    let servers = Servers::start(&rows).await?;
    for peer in peers_of(&rows) {
        let understood = understands(then, &servers, peer).await;
        if understood.is_err() && peer.is_journaled() {
            // That revision has no journal.
            rows.retain(|row| row.peer != peer);
            continue;
        }
        understood.with_context(|| format!("cannot compare with {revision}"))?;
    }
    let entries = entries(plan, &rows, &programs);
    let measured = rounds::run(&entries, &servers, plan.seed).await;
    let pairs = measured.summaries.chunks(2);
    let comparison = Comparison {
        then: revision.to_string(),
        seed: measured.seed,
        rows: pairs.map(|pair| compare(&pair[0], &pair[1])).collect(),
    };
    if json::output(&comparison, plan.json.as_deref())? {
        print(&comparison);
    }
    Ok(())
}

/// Each row twice: now, then.
fn entries(plan: &Plan, rows: &[Row], programs: &[Program; 2]) -> Vec<Entry> {
    let both = |(block, row): (usize, &Row)| {
        programs.clone().map(|program| Entry {
            row: *row,
            rounds: plan.rounds(row),
            block,
            program: Some(program),
        })
    };
    rows.iter().enumerate().flat_map(both).collect()
}

/// Makes a small run, so that a revision whose processes differ ends the benchmark at once.
async fn understands(program: &Program, servers: &Servers, peer: Peer) -> anyhow::Result<()> {
    let mut endpoint = servers.endpoint(Topology::Standalone, peer)?;
    endpoint.program = program.clone();
    let work = Work {
        events: 200,
        load: Load::Await,
        format: peer.format(),
        ..Work::default()
    };
    let run = run::once(peer, &endpoint, work, 1).await;
    let run = run.context("its benchmark program takes other arguments or prints other results")?;
    if let Some(missing) = missing(&run) {
        bail!("the results of its benchmark program have no {missing}");
    }
    Ok(())
}

/// Returns what the results of a run lack.
fn missing(run: &Run) -> Option<&'static str> {
    let sent = run.sent.first()?;
    let received = run.received.first()?;
    let figures = [
        ("time of the first send", sent.first_ns),
        ("processor time of the sender", sent.cpu_ns),
        ("count of received events", received.received),
        ("time of the last receipt", received.last_ns),
        ("processor time of the subscriber", received.cpu_ns),
    ];
    let missing = figures.iter().find(|(_, figure)| *figure == 0);
    let missing = missing.map(|(what, _)| *what);
    missing.or_else(|| (received.p50_us <= 0.0).then_some("latency"))
}

fn compare(now: &Summary, then: &Summary) -> Compared {
    let has_fixed_rate = now.scenario.load == Load::Rate;
    // A figure that was not measured is 0, and has no ratio.
    let figures = FIGURES.iter().skip(usize::from(has_fixed_rate));
    let figures = figures.filter_map(|&(what, figure)| {
        let all =
            |of: fn(f64, f64) -> f64| now.paired(then, |now, then| of(figure(now), figure(then)));
        Some(Figure {
            what,
            now: all(|now, _| now)?.spread.median,
            then: all(|_, then| then)?.spread.median,
            ratio: all(|now, then| now / then)?,
        })
    });
    let of = |version: &str, row: &Summary| {
        let lost = (row.lost > 0).then(|| format!("{} events lost", thousands(row.lost)));
        let all = lost.into_iter().chain(row.complaints());
        all.map(|complaint| format!("{version}: {complaint}"))
            .collect::<Vec<_>>()
    };
    Compared {
        name: now.name.clone(),
        peer: now.peer.name(),
        figures: figures.collect(),
        complaints: [of("now", now), of("then", then)].concat(),
    }
}

#[expect(clippy::print_stdout, reason = "this is the program's output")]
fn print(comparison: &Comparison) {
    let paint = Paint(stdout().is_terminal());
    let heading = format!(
        "{:<40} {:>12} {:>12} {:>9} {:<14} {:>5}",
        "", "now", "then", "now/then", "(min-max)", "pairs"
    );
    println!("{}", paint.bold(&heading));
    for row in &comparison.rows {
        println!("{}", paint.bold(&format!("{}: {}", row.name, row.peer)));
        for figure in &row.figures {
            println!("{figure}");
        }
        for complaint in &row.complaints {
            println!("    {}", paint.red(complaint));
        }
    }
    println!(
        "\nthen: {}; seed {}. Each ratio is the median of the ratios of paired runs.",
        comparison.then, comparison.seed
    );
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            now,
            then,
            ratio,
        } = self;
        let Paired { pairs, spread } = ratio;
        let range = format!("({:.2}-{:.2})", spread.least, spread.most);
        let median = spread.median;
        write!(
            f,
            "  {what:<38} {now:>12.1} {then:>12.1} {median:>9.2} {range:<14} {pairs:>5}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{FEED_1, Scenario};
    use crate::sender::Sent;
    use crate::subscriber::Received;

    fn run(milliseconds: u64, p50_us: f64) -> Run {
        let sent = Sent {
            first_ns: 1,
            cpu_ns: milliseconds * 1_000,
            rss_kib: 1_024,
        };
        let received = Received {
            received: 1_000,
            wanted: 1_000,
            last_ns: 1 + milliseconds * 1_000_000,
            cpu_ns: milliseconds * 1_000,
            rss_kib: 2_048,
            p50_us,
            ..Received::default()
        };
        Run {
            events: 1_000,
            sent: vec![sent],
            received: vec![received],
            server_cpu_ns: 0,
        }
    }

    fn summary(scenario: Scenario, milliseconds: &[u64], failures: &[&str]) -> Summary {
        let row = Row {
            scenario,
            peer: Peer::TidingsJson,
            events: 1_000,
        };
        let p50_us = if scenario.load == Load::Rate {
            100.0
        } else {
            0.0
        };
        let runs = milliseconds.iter().map(|&each| Some(run(each, p50_us)));
        let failures = failures.iter().map(|&failure| failure.to_owned()).collect();
        Summary::new(&row, runs.collect(), failures)
    }

    #[test]
    fn a_change_is_the_median_of_the_ratios_of_paired_runs() {
        let then = summary(FEED_1, &[100, 1_000, 120], &[]);
        let compared = compare(&summary(FEED_1, &[50, 500, 80], &[]), &then);
        let ratio = |what| {
            let figure = compared.figures.iter().find(|figure| figure.what == what);
            figure.map(|figure| {
                (
                    figure.ratio.pairs,
                    format!("{:.2}", figure.ratio.spread.median),
                )
            })
        };
        assert_eq!(ratio("events a second"), Some((3, "2.00".to_owned())));
        assert_eq!(ratio("CPU ns an event"), Some((3, "0.50".to_owned())));
        assert_eq!(ratio("MiB of a subscriber"), Some((3, "1.00".to_owned())));
        assert_eq!(ratio("p50 µs"), None);
    }

    #[test]
    fn a_fixed_rate_is_compared_by_its_latency() {
        let row = summary(Scenario::rate(1_000), &[100], &[]);
        let compared = compare(&row, &row);
        let what: Vec<_> = compared.figures.iter().map(|figure| figure.what).collect();
        assert!(what.contains(&"p50 µs") && !what.contains(&"events a second"));
    }

    #[test]
    fn a_failure_names_the_version() {
        let (now, then) = (
            summary(FEED_1, &[1], &[]),
            summary(FEED_1, &[1], &["it ended"]),
        );
        assert_eq!(compare(&now, &then).complaints, ["then: it ended"]);
    }

    #[test]
    fn a_result_without_a_figure_is_not_comparable() {
        assert_eq!(missing(&run(1, 9.0)), None);
        assert_eq!(missing(&run(1, 0.0)), Some("latency"));
        let mut other = run(1, 9.0);
        other.received = vec![Received::default()];
        assert_eq!(missing(&other), Some("count of received events"));
    }
}
