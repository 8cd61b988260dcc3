//! The benchmark of rows: each round runs each row once, in random order.

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::outcome::{LeftOut, Outcome};
use crate::overload;
use crate::peers::Peer;
use crate::results::Results;
use crate::rows::{self, Row};
use crate::run::{self, Run};
use crate::servers::{Servers, why_left_out};
use crate::summary::Summary;
use crate::{chart, json, report, targets};

/// The rows to measure, and the form of the results.
#[derive(clap::Args, Debug)]
pub(crate) struct Plan {
    /// Rounds: each runs each row once, in random order.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only rows whose scenario and peer contain all of these words, such as `feed nats`.
    #[arg(long, value_name = "WORDS", num_args = 1..)]
    only: Vec<String>,
    /// One round with a fifth of the events, to see that everything works.
    #[arg(long)]
    quick: bool,
    /// Only the rows that the targets need; fails if a target is missed.
    #[arg(long)]
    check: bool,
    /// Write the results as JSON to a file, or print them instead of the table.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// Write a bar chart of `feed` for the book, as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Seed of the order of the rows.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
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
    let results = plan.measure(rows, left_out).await?;
    plan.show(&results)?;
    let is_missed = plan.check && results.targets.iter().any(Outcome::is_missed);
    Ok(ExitCode::from(u8::from(is_missed)))
}

impl Plan {
    /// The rows that run, and the peers that cannot take part.
    fn rows(&self) -> (Vec<Row>, Vec<LeftOut>) {
        let mut rows = rows::all();
        rows.retain(|row| row.is_called(&self.only) && (!self.check || targets::needs(row)));
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

    fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds.max(1) }
    }

    async fn measure(&self, rows: Vec<Row>, left_out: Vec<LeftOut>) -> anyhow::Result<Results> {
        let seed = self
            .seed
            .unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
        let peers = peers_of(&rows);
        let rows = self.run_rounds(rows, &peers, seed).await?;
        let overload = overload::run(&self.only, self.quick).await?;
        // A run of all rows shows the targets too.
        let targets = if self.check || (self.only.is_empty() && !self.quick) {
            targets::outcomes(&rows, &overload, &left_out)
        } else {
            Vec::new()
        };
        Ok(Results {
            rounds: self.rounds(),
            seed,
            rows,
            overload,
            targets,
            peers: peers.into_iter().map(Into::into).collect(),
            left_out,
        })
    }

    async fn run_rounds(
        &self,
        rows: Vec<Row>,
        peers: &[Peer],
        seed: u64,
    ) -> anyhow::Result<Vec<Summary>> {
        let servers = Servers::start(peers).await?;
        let mut table = Table::new(rows);
        let mut order: Vec<usize> = (0..table.rows.len()).collect();
        let mut random = StdRng::seed_from_u64(seed);
        let mut progress = Progress::new(order.len() * self.rounds());
        for round in 1..=self.rounds() {
            order.shuffle(&mut random);
            for &index in &order {
                progress.show(round, self.rounds(), &table.rows[index]);
                table.run(index, &servers).await;
            }
        }
        Progress::clear();
        Ok(table.summaries())
    }

    fn show(&self, results: &Results) -> anyhow::Result<()> {
        match &self.json {
            Some(file) if file.as_os_str() == "-" => json::print(results)?,
            Some(file) => {
                json::write(results, file)?;
                report::print(results);
            }
            None => report::print(results),
        }
        if let Some(file) = &self.svg {
            std::fs::write(file, chart::svg(&results.rows))?;
        }
        Ok(())
    }
}

fn peers_of(rows: &[Row]) -> Vec<Peer> {
    let mut peers = Vec::new();
    for row in rows {
        if !peers.contains(&row.peer) {
            peers.push(row.peer);
        }
    }
    peers
}

/// The rows, and their runs.
struct Table {
    rows: Vec<Row>,
    runs: Vec<Vec<Run>>,
    failures: Vec<Vec<String>>,
}

impl Table {
    fn new(rows: Vec<Row>) -> Self {
        Self {
            runs: vec![Vec::new(); rows.len()],
            failures: vec![Vec::new(); rows.len()],
            rows,
        }
    }

    /// Runs a row once. A failure is part of the results, and does not end the benchmark.
    async fn run(&mut self, index: usize, servers: &Servers) {
        let row = &self.rows[index];
        let done = match servers.endpoint(row.peer) {
            Ok(endpoint) => {
                run::once(row.peer, &endpoint, row.work(), row.scenario.subscribers).await
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(run) => self.runs[index].push(run),
            Err(error) => self.failures[index].push(format!("{error:#}")),
        }
    }

    fn summaries(self) -> Vec<Summary> {
        let runs = self.runs.iter().zip(self.failures);
        let summaries = self.rows.iter().zip(runs);
        summaries
            .map(|(row, (runs, failures))| Summary::new(row, runs, failures))
            .collect()
    }
}

/// Prints the current row and the remaining time on standard error.
struct Progress {
    start: Instant,
    all: usize,
    done: usize,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self {
            start: Instant::now(),
            all,
            done: 0,
        }
    }

    #[expect(clippy::print_stderr, reason = "progress output")]
    fn show(&mut self, round: usize, rounds: usize, row: &Row) {
        let left = self.left();
        if stderr().is_terminal() {
            let what = format!("{}: {}", row.scenario.name(), row.peer.name());
            eprint!("\r\x1b[Kround {round} of {rounds}, {left} {what}");
        } else if self.done.is_multiple_of(self.all.div_ceil(rounds)) {
            eprintln!("round {round} of {rounds}, {left}");
        }
        self.done += 1;
    }

    fn left(&self) -> String {
        if self.done == 0 {
            return "starting:".to_owned();
        }
        let each = self.start.elapsed() / u32::try_from(self.done).unwrap_or(u32::MAX);
        let left: Duration = each * u32::try_from(self.all - self.done).unwrap_or(u32::MAX);
        let seconds = left.as_secs();
        format!("{}:{:02} left:", seconds / 60, seconds % 60)
    }

    #[expect(clippy::print_stderr, reason = "progress output")]
    fn clear() {
        if stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}
