//! The benchmark of rows: which rows run, in how many rounds, and the form of the results.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::against;
use crate::outcome::{LeftOut, Outcome};
use crate::peers::Peer;
use crate::results::Results;
use crate::rounds::{self, Entry};
use crate::rows::{self, Row};
use crate::servers::{Servers, why_left_out};
use crate::work::Load;
use crate::{chart, json, report, targets, trials};

/// The rounds of a row that decides no target.
const ROUNDS: usize = 5;

/// The rounds of a row that decides a target: single runs differ by 15 %.
const DECIDING_ROUNDS: usize = 11;

/// The same where single runs differ by a factor: one event at a time, and latencies.
const LATENCY_ROUNDS: usize = 15;

/// The rows to measure, and the form of the results.
#[derive(clap::Args, Debug)]
pub(crate) struct Plan {
    /// Rounds of each row. Default: 11 for a row that decides a target, 15 if it also measures
    /// latency or awaits each send, 5 for the others.
    #[arg(long)]
    rounds: Option<usize>,
    /// Only rows whose scenario and peer contain all of these words, such as `feed nats`. A row with a
    /// journal is selected together with the same row without one.
    #[arg(long, value_name = "WORDS", num_args = 1..)]
    pub(crate) only: Vec<String>,
    /// One round with a fifth of the events, to see that everything works.
    #[arg(long)]
    quick: bool,
    /// Only the rows that the targets need, in at least 11 or 15 rounds; fails if a target is
    /// missed.
    #[arg(long, conflicts_with = "quick")]
    check: bool,
    /// Build another revision, and compare: the rows of tidings that the targets need, each run in
    /// both versions in every round.
    #[arg(long, value_name = "REVISION", conflicts_with_all = ["check", "svg"])]
    against: Option<String>,
    /// Write the results as JSON to a file, or print them instead of the table.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) json: Option<PathBuf>,
    /// Write a bar chart of `feed` for the book, as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Seed of the order of the rows.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Print the rows, and run nothing.
    #[arg(long)]
    list: bool,
}

pub(crate) async fn run(plan: &Plan) -> anyhow::Result<ExitCode> {
    let (rows, left_out) = plan.rows();
    if plan.list {
        report::list(&rows, &left_out);
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(revision) = &plan.against {
        against::run(plan, revision, rows).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let results = plan.measure(rows, left_out).await?;
    plan.show(&results)?;
    let is_missed = plan.check && results.targets.iter().any(Outcome::is_missed);
    Ok(ExitCode::from(u8::from(is_missed)))
}

impl Plan {
    /// The rows that run, and the peers that cannot take part.
    fn rows(&self) -> (Vec<Row>, Vec<LeftOut>) {
        let mut rows = rows::all();
        let mut called = rows.clone();
        called.retain(|row| row.is_called(&self.only));
        rows.retain(|row| called.contains(row) || targets::is_compared(row, &called));
        if self.check || self.against.is_some() {
            rows.retain(targets::needs);
        }
        if self.against.is_some() {
            rows.retain(|row| row.peer.is_tidings());
        }
        let peers = peers_of(&rows);
        let left_out = peers.into_iter().filter_map(|id| {
            let (peer, why) = (id.name(), why_left_out(id)?);
            Some(LeftOut { id, peer, why })
        });
        let left_out: Vec<_> = left_out.collect();
        rows.retain(|row| left_out.iter().all(|left| left.id != row.peer));
        if self.quick {
            for row in &mut rows {
                row.events = (row.events / 5).max(200);
            }
        }
        (rows, left_out)
    }

    pub(crate) fn rounds(&self, row: &Row) -> usize {
        let deciding = match row.scenario.load {
            Load::Await | Load::Rate => LATENCY_ROUNDS,
            Load::Tasks | Load::Feed => DECIDING_ROUNDS,
        };
        match self.rounds {
            _ if self.quick => 1,
            Some(rounds) if self.check => rounds.max(deciding),
            Some(rounds) => rounds.max(1),
            None if targets::needs(row) => deciding,
            None => ROUNDS,
        }
    }

    async fn measure(&self, rows: Vec<Row>, left_out: Vec<LeftOut>) -> anyhow::Result<Results> {
        let peers = peers_of(&rows);
        let servers = Servers::start(&rows).await?;
        let measured = rounds::run(&self.entries(&rows), &servers, self.seed).await;
        let trials = trials::run(&self.only, self.quick).await?;
        let targets = if self.quick {
            Vec::new()
        } else {
            targets::outcomes(&measured.summaries, &trials, &left_out)
        };
        Ok(Results {
            seed: measured.seed,
            rows: measured.summaries,
            trials,
            targets,
            peers: peers.into_iter().map(Into::into).collect(),
            left_out,
        })
    }

    /// The rows of a scenario are compared with each other.
    fn entries(&self, rows: &[Row]) -> Vec<Entry> {
        let block = |row: &Row| {
            let block = row.scenario.block();
            rows.iter()
                .position(|other| other.scenario.block() == block)
        };
        let entry = |(index, row): (usize, &Row)| Entry {
            row: *row,
            rounds: self.rounds(row),
            block: block(row).unwrap_or(index),
            program: None,
        };
        rows.iter().enumerate().map(entry).collect()
    }

    fn show(&self, results: &Results) -> anyhow::Result<()> {
        if json::output(results, self.json.as_deref())? {
            report::print(results);
        }
        if let Some(file) = &self.svg {
            std::fs::write(file, chart::svg(&results.rows))?;
        }
        Ok(())
    }
}

pub(crate) fn peers_of(rows: &[Row]) -> Vec<Peer> {
    let mut peers = Vec::new();
    for row in rows {
        if !peers.contains(&row.peer) {
            peers.push(row.peer);
        }
    }
    peers
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        plan: Plan,
    }

    fn plan(arguments: &str) -> Plan {
        let words = std::iter::once("bench").chain(arguments.split_whitespace());
        Arguments::try_parse_from(words).unwrap().plan
    }

    fn rounds(arguments: &str, words: &str) -> usize {
        let mut rows = rows::all();
        rows.retain(|row| row.is_called(&[words.to_owned()]));
        plan(arguments).rounds(&rows[0])
    }

    #[test]
    fn a_row_that_decides_a_target_runs_in_11_rounds_or_15() {
        assert_eq!(rounds("", "feed, 1->1 redis-pipelines"), 11);
        assert_eq!(rounds("", "1,000/s redis"), 15);
        assert_eq!(rounds("", "await 1->8 tidings"), 15);
        assert_eq!(rounds("", "feed ioredis"), 5);
        assert_eq!(rounds("--rounds 3", "await 1->8 tidings"), 3);
        assert_eq!(rounds("--quick", "await 1->8 tidings"), 1);
    }

    #[test]
    fn a_check_never_runs_in_fewer_rounds() {
        assert_eq!(rounds("--check --rounds 3", "feed, 1->1 tidings-json"), 11);
        assert_eq!(rounds("--check --rounds 21", "5,000/s tidings"), 21);
    }

    #[test]
    fn against_another_revision_only_rows_of_tidings_run() {
        let (rows, left_out) = plan("--against main").rows();
        assert!(
            rows.iter()
                .all(|row| row.peer.is_tidings() && targets::needs(row))
        );
        assert!(rows.len() > 10 && left_out.is_empty());
        let (feed, _) = plan("--against main --only feed").rows();
        assert!(feed.len() < rows.len() && !feed.is_empty());
    }

    #[test]
    fn the_rows_of_a_ratio_are_in_one_block() {
        let plan = plan("");
        let entries = plan.entries(&rows::all());
        let block = |words: &str| {
            let words = [words.to_owned()];
            let entry = entries.iter().find(|entry| entry.row.is_called(&words));
            entry.unwrap().block
        };
        assert_eq!(block("feed, 1->1 nats"), block("feed, 1->1 tidings-json"));
        assert_eq!(
            block("256 names tidings-json"),
            block("feed, 1->1 tidings-json")
        );
        assert_ne!(block("feed, 1->8 nats"), block("feed, 1->1 nats"));
    }
}
