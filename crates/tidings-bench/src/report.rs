//! The results as a table for the terminal, scenario by scenario.

use std::fmt::Write as _;
use std::io::{IsTerminal, stdout};

use crate::outcome::{LeftOut, Outcome};
use crate::peers::Peer;
use crate::results::Results;
use crate::rows::{Row, thousands};
use crate::run::Run;
use crate::summary::{Spread, Summary, find};
use crate::trials::Trial;
use crate::work::Load;

/// Prints the rows that would run.
#[expect(clippy::print_stdout, reason = "this is the program's output")]
pub(crate) fn list(rows: &[Row], left_out: &[LeftOut]) {
    for row in rows {
        let (name, peer) = (row.scenario.name(), row.peer.name());
        println!("{name:<32} {peer:<30} {:>10} events", thousands(row.events));
    }
    print!("{}", left_out_lines(left_out));
}

#[expect(clippy::print_stdout, reason = "this is the program's output")]
pub(crate) fn print(results: &Results) {
    let paint = Paint(stdout().is_terminal());
    print!("{}", table(results, paint));
}

/// Colours, if standard output is a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn table(results: &Results, paint: Paint) -> String {
    let mut text = String::new();
    let mut before = None;
    for summary in &results.rows {
        if before != Some(summary.scenario) {
            let _ = writeln!(text, "\n{}", paint.bold(&heading(summary)));
            before = Some(summary.scenario);
        }
        text += &line(summary, &results.rows, paint);
    }
    text += &trial_lines(&results.trials, paint);
    text += &target_lines(&results.targets, paint);
    text += &settings_lines(results);
    text += &left_out_lines(&results.left_out);
    let _ = writeln!(
        text,
        "\nseed {}. Ratio: the median of the ratios to the redis crate in the same round. CPU: ns an \
         event of all senders, of one subscriber, of all servers. MiB: of a sender, of a subscriber.",
        results.seed
    );
    text
}

fn heading(summary: &Summary) -> String {
    let (figure, range) = if summary.scenario.load == Load::Rate {
        ("p50 / p90 / p99 µs", "(p50 min-max)")
    } else {
        ("events/s", "(min-max)")
    };
    format!(
        "{:<32} {figure:>22} {range:>23} {:>7} {:>25} {:>11}",
        summary.name, "ratio", "CPU send/receive/server", "MiB s/r"
    )
}

fn line(summary: &Summary, rows: &[Summary], paint: Paint) -> String {
    let (figure, range) = if summary.events_per_second.is_none() {
        (String::new(), String::new())
    } else if summary.scenario.load == Load::Rate {
        latencies(summary)
    } else {
        rate(summary)
    };
    let figure = match why_no_figure(summary) {
        Some(why) => paint.red(&format!("{why:>22}")),
        None => format!("{figure:>22}"),
    };
    let cpu = format!(
        "{:.0}/{:.0}/{:.0}",
        summary.sender_cpu_ns, summary.subscriber_cpu_ns, summary.server_cpu_ns
    );
    let memory = format!("{:.0}/{:.0}", summary.sender_mib, summary.subscriber_mib);
    let ratio = ratio(summary, rows).map_or(String::new(), |ratio| format!("{ratio:.2}"));
    let mut line = format!(
        "  {:<30} {figure} {range:>23} {ratio:>7} {cpu:>25} {memory:>11}\n",
        summary.peer.name()
    );
    for complaint in summary.complaints() {
        let _ = writeln!(line, "    {}", paint.red(&complaint));
    }
    line
}

fn why_no_figure(summary: &Summary) -> Option<String> {
    if summary.lost > 0 {
        return Some(format!("{} lost", thousands(summary.lost)));
    }
    summary
        .events_per_second
        .is_none()
        .then(|| "failed".to_owned())
}

fn rate(summary: &Summary) -> (String, String) {
    let rate = summary.events_per_second.unwrap_or_default();
    let Spread {
        least,
        median,
        most,
    } = rate;
    let range = format!("({}-{})", whole(least), whole(most));
    (whole(median), range)
}

fn latencies(summary: &Summary) -> (String, String) {
    let figure = |spread: Spread| format!("{:.0}", spread.median);
    let all = [summary.p50_us, summary.p90_us, summary.p99_us].map(figure);
    let Spread { least, most, .. } = summary.p50_us;
    (all.join(" / "), format!("({least:.0}-{most:.0})"))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are positive and far below 2^52"
)]
fn whole(figure: f64) -> String {
    thousands(figure.round() as u64)
}

/// The ratio to the redis crate in the same scenario: of rates, or of p50.
fn ratio(summary: &Summary, rows: &[Summary]) -> Option<f64> {
    let base = |peer| find(rows, summary.scenario, peer);
    let base = base(Peer::Redis).or_else(|| base(Peer::RedisPipelines))?;
    let figure = if summary.scenario.load == Load::Rate {
        Run::p50_us
    } else {
        Run::rate
    };
    summary.rate()?;
    let ratio = summary.paired(base, |ours, theirs| figure(ours) / figure(theirs))?;
    Some(ratio.spread.median)
}

fn trial_lines(trials: &[Trial], paint: Paint) -> String {
    let mut text = String::new();
    if !trials.is_empty() {
        let _ = writeln!(text, "\n{}", paint.bold("trials"));
    }
    for trial in trials {
        let _ = writeln!(text, "  {trial}");
    }
    text
}

fn target_lines(targets: &[Outcome], paint: Paint) -> String {
    let mut text = String::new();
    if !targets.is_empty() {
        let heading = format!(
            "{:<70} {:>7} {:<21} {:>5}",
            "targets", "median", "(min-max, pairs)", "CPU"
        );
        let _ = writeln!(text, "\n{}", paint.bold(&heading));
    }
    for outcome in targets {
        let line = outcome.to_string();
        let line = if outcome.is_missed() {
            paint.red(&line)
        } else {
            line
        };
        let _ = writeln!(text, "  {line}");
    }
    text
}

fn settings_lines(results: &Results) -> String {
    let mut text = String::from("\nsettings\n");
    for taking in &results.peers {
        let _ = writeln!(text, "  {:<30} {}", taking.peer, taking.settings);
    }
    text
}

fn left_out_lines(left_out: &[LeftOut]) -> String {
    let mut text = String::new();
    for left in left_out {
        let _ = writeln!(text, "left out: {}: {}", left.peer, left.why);
    }
    text
}
