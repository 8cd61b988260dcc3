//! The whole benchmark: rounds in which each row runs once, in another order each time.

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use crate::overload::{self, Trial};
use crate::peers::Peer;
use crate::rows::{self, Row};
use crate::run::{self, Run};
use crate::servers::{Servers, why_left_out};
use crate::summary::Summary;
use crate::targets::{self, Outcome};
use crate::{chart, json, report};

/// What to measure, and what to do with it.
#[derive(clap::Args, Debug)]
pub(crate) struct Plan {
    /// How often each row is measured. The rounds are interleaved, each in an order of its own.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only rows whose scenario and peer contain all of these words, such as `feed nats`.
    #[arg(long, value_name = "WORDS", num_args = 1..)]
    only: Vec<String>,
    /// One round with a fifth of the events: whether it works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Measures only what the targets need, and fails where one is not reached.
    #[arg(long)]
    check: bool,
    /// The results as JSON, in a file or instead of the table.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// A bar chart of `feed` for the book, as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// The order of the rows: a run with the same seed has the same.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Names the rows, and runs nothing.
    #[arg(long)]
    list: bool,
}

/// All that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) rounds: usize,
    pub(crate) seed: u64,
    pub(crate) rows: Vec<Summary>,
    pub(crate) overload: Vec<Trial>,
    pub(crate) targets: Vec<Outcome>,
    pub(crate) peers: Vec<Taking>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// A peer that took part, and how it was set.
#[derive(Debug, Serialize)]
pub(crate) struct Taking {
    pub(crate) peer: &'static str,
    pub(crate) settings: &'static str,
}

/// A peer that did not take part.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LeftOut {
    #[serde(skip)]
    pub(crate) id: Peer,
    pub(crate) peer: &'static str,
    pub(crate) why: String,
}

pub(crate) async fn run(plan: &Plan) -> anyhow::Result<ExitCode> {
    let (rows, left_out) = plan.rows();
    if plan.list {
        report::list(&rows, &left_out);
        return Ok(ExitCode::SUCCESS);
    }
    let results = plan.measure(rows, left_out).await?;
    plan.show(&results)?;
    let is_short = plan.check && results.targets.iter().any(Outcome::is_short);
    Ok(ExitCode::from(u8::from(is_short)))
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
        let servers = Servers::start(&peers).await?;
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
        drop(servers);
        let overload = overload::run(&self.only, self.quick).await?;
        let rows = table.summaries();
        // A run of all rows shows them, too.
        let targets = if self.check || (self.only.is_empty() && !self.quick) {
            targets::outcomes(&rows, &overload, &left_out)
        } else {
            Vec::new()
        };
        let taking = peers.into_iter().map(|peer| Taking {
            peer: peer.name(),
            settings: peer.settings(),
        });
        Ok(Results {
            rounds: self.rounds(),
            seed,
            rows,
            overload,
            targets,
            peers: taking.collect(),
            left_out,
        })
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

/// The rows, and what their runs measured.
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

    /// Runs a row once. One that fails is part of the result, and no reason to stop.
    async fn run(&mut self, index: usize, servers: &Servers) {
        let row = &self.rows[index];
        let done = match servers.place(row.peer) {
            Ok(place) => run::once(row.peer, &place, row.work(), row.scenario.hearers).await,
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

/// Says on standard error what runs, and how long it will take.
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

    #[expect(clippy::print_stderr, reason = "it is for the person who waits")]
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
            return "just begun:".to_owned();
        }
        let each = self.start.elapsed() / u32::try_from(self.done).unwrap_or(u32::MAX);
        let left: Duration = each * u32::try_from(self.all - self.done).unwrap_or(u32::MAX);
        let seconds = left.as_secs();
        format!("{}:{:02} left:", seconds / 60, seconds % 60)
    }

    #[expect(clippy::print_stderr, reason = "as above")]
    fn clear() {
        if stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}
