//! The rounds: in each, the rows of a block run directly after each other, in random order.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::process::Program;
use crate::rows::Row;
use crate::run::{self, Run};
use crate::servers::Servers;
use crate::summary::Summary;

/// The usual length of a run, with the start of its processes.
const USUAL_RUN: Duration = Duration::from_secs(2);

/// A row to run.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) row: Row,
    /// The rounds in which it runs: the first ones.
    pub(crate) rounds: usize,
    /// The entries with the same number are compared with each other. Less than the count of entries.
    pub(crate) block: usize,
    /// The program of its processes; `None` for the usual one of the peer.
    pub(crate) program: Option<Program>,
}

/// The runs of all rounds, in the order of the entries.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) seed: u64,
    pub(crate) summaries: Vec<Summary>,
}

/// Runs all rounds. A failed run is part of the results, and does not end the benchmark.
pub(crate) async fn run(entries: &[Entry], servers: &Servers, seed: Option<u64>) -> Measured {
    let seed = seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let mut random = StdRng::seed_from_u64(seed);
    let mut progress = Progress::start(entries);
    let mut runs: Vec<Runs> = entries.iter().map(|_| Runs::default()).collect();
    for round in 1..=progress.rounds {
        for index in order(entries, round, &mut random) {
            let entry = &entries[index];
            progress.show(round, &entry.row);
            runs[index].add(run_once(entry, servers).await);
        }
    }
    Progress::clear();
    let summaries = entries
        .iter()
        .zip(runs)
        .map(|(entry, runs)| Summary::new(&entry.row, runs.all, runs.failures));
    let summaries = summaries.collect();
    Measured { seed, summaries }
}

/// Returns the order of a round: blocks in random order, and the entries of each in random order.
fn order(entries: &[Entry], round: usize, random: &mut StdRng) -> Vec<usize> {
    let mut blocks: Vec<usize> = (0..entries.len()).collect();
    blocks.shuffle(random);
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.retain(|&index| round <= entries[index].rounds);
    order.shuffle(random);
    order.sort_by_key(|&index| blocks[entries[index].block]);
    order
}

async fn run_once(entry: &Entry, servers: &Servers) -> anyhow::Result<Run> {
    let row = &entry.row;
    let mut endpoint = servers.endpoint(row.scenario.topology, row.peer)?;
    if let Some(program) = &entry.program {
        endpoint.program = program.clone();
    }
    run::once(row.peer, &endpoint, row.work(), row.scenario.subscribers).await
}

/// The runs of an entry, round by round.
#[derive(Default)]
struct Runs {
    /// `None` where the run failed.
    all: Vec<Option<Run>>,
    failures: Vec<String>,
}

impl Runs {
    fn add(&mut self, run: anyhow::Result<Run>) {
        match run {
            Ok(run) => self.all.push(Some(run)),
            Err(error) => {
                self.all.push(None);
                self.failures.push(format!("{error:#}"));
            }
        }
    }
}

/// Prints the current row and the remaining time on standard error.
struct Progress {
    start: Instant,
    rounds: usize,
    all: usize,
    done: usize,
    /// The last round that was printed.
    printed: usize,
}

impl Progress {
    #[expect(clippy::print_stderr, reason = "progress output")]
    fn start(entries: &[Entry]) -> Self {
        let rounds = entries.iter().map(|entry| entry.rounds);
        let (all, rounds) = (rounds.clone().sum(), rounds.max().unwrap_or(0));
        if all > 0 {
            let time = minutes(USUAL_RUN * count(all));
            eprintln!("{all} runs, about {time} min");
        }
        Self {
            start: Instant::now(),
            rounds,
            all,
            done: 0,
            printed: 0,
        }
    }

    #[expect(clippy::print_stderr, reason = "progress output")]
    fn show(&mut self, round: usize, row: &Row) {
        let (rounds, left) = (self.rounds, minutes(self.left()));
        if stderr().is_terminal() {
            let what = format!("{}: {}", row.scenario.name(), row.peer.name());
            eprint!("\r\x1b[Kround {round} of {rounds}, {left} left: {what}");
        } else if self.printed < round {
            eprintln!("round {round} of {rounds}, {left} left");
        }
        self.printed = round;
        self.done += 1;
    }

    fn left(&self) -> Duration {
        let each = match self.done {
            0 => USUAL_RUN,
            done => self.start.elapsed() / count(done),
        };
        each * count(self.all - self.done)
    }

    #[expect(clippy::print_stderr, reason = "progress output")]
    fn clear() {
        if stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Formats a time as minutes and seconds.
fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows;

    /// Entries of which the first two are one block, the next three another, and the last a third.
    fn entries() -> Vec<Entry> {
        let blocks = [(0, 2), (0, 3), (1, 3), (1, 3), (1, 3), (2, 1)];
        let entries = blocks.iter().zip(rows::all());
        let entry = |(&(block, rounds), row)| Entry {
            row,
            rounds,
            block,
            program: None,
        };
        entries.map(entry).collect()
    }

    #[test]
    fn the_rows_of_a_block_run_directly_after_each_other() {
        let entries = entries();
        for seed in 0..100 {
            let order = order(&entries, 1, &mut StdRng::seed_from_u64(seed));
            let mut blocks: Vec<_> = order.iter().map(|&index| entries[index].block).collect();
            blocks.dedup();
            assert_eq!((order.len(), blocks.len()), (6, 3), "{order:?}");
        }
    }

    #[test]
    fn each_row_of_a_pair_runs_first_about_as_often() {
        let entries = &entries()[..2];
        let mut random = StdRng::seed_from_u64(1);
        let first = (0..1_000).filter(|_| order(entries, 1, &mut random)[0] == 0);
        assert!((400..600).contains(&first.count()));
    }

    #[test]
    fn a_row_runs_only_in_its_rounds() {
        let entries = entries();
        let runs = |round| order(&entries, round, &mut StdRng::seed_from_u64(7)).len();
        assert_eq!([1, 2, 3, 4].map(runs), [6, 5, 4, 0]);
    }

    #[test]
    fn a_time_is_printed_in_minutes_and_seconds() {
        assert_eq!(minutes(Duration::from_secs(725)), "12:05");
    }
}
