//! `cargo xtask faults`: makes each fault happen to a real Redis, and checks what tidings reports of
//! every event.

// Reading order: the rows …
mod row;
mod rows;
// … the other libraries …
mod compare;
mod peers;
// … a trial and its audit …
mod clock;
mod oracle;
mod resources;
mod role;
mod traffic;
mod worker;
// … and the table.
mod report;
mod results;
// The soak is in the library of this package.
mod soak;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread::available_parallelism;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use rand::Rng;
use serde::Serialize;
use tidings_faults::journal::process::run_reader;
use tidings_faults::journal::servers::Topology;
use tidings_faults::journal::soak::Plan;

use crate::compare::ComparedFault;
use crate::peers::Peer;
use crate::results::{Library, Results};
use crate::role::Role;
use crate::row::Effort;
use crate::rows::Row;
use crate::soak::Soak;

/// Measures how tidings detects and survives faults, on this machine and a real Redis.
///
/// Fails, and names each row, where a figure misses its limit or an event is not accounted for.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask faults", bin_name = "cargo xtask faults", version)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
struct Arguments {
    /// Only the row of this name, such as `chaos`, or the rows whose name contains all of these
    /// words, such as `half-open frozen`. Rows of the comparison begin with `compared`.
    #[arg(long, value_name = "WORDS", num_args = 1..)]
    only: Vec<String>,
    /// Only rows of these servers, such as `--only chaos --topology cluster`.
    #[arg(long)]
    topology: Option<Topology>,
    /// Makes random faults for a long time instead of the rows, and audits every event.
    #[arg(long, requires = "journal", conflicts_with_all = ["only", "quick", "markdown"])]
    soak: bool,
    /// The soak of the journal.
    #[arg(long, requires = "soak")]
    journal: bool,
    /// The least number of faults of a soak, for each topology.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 1_000,
        requires = "soak"
    )]
    faults: usize,
    /// The least number of events of a soak, for each topology.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 1_000_000,
        requires = "soak"
    )]
    events: u64,
    /// A fifth of the repetitions, to see that everything works.
    #[arg(long)]
    quick: bool,
    /// Seed of the random faults.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Write the results as JSON to a file, or print them instead of the table.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// Print the table as Markdown, as in the book.
    #[arg(long)]
    markdown: bool,
}

fn main() -> Result<ExitCode> {
    match Role::of_this_process() {
        Some((role, argument)) => run_role(role, argument).map(|()| ExitCode::SUCCESS),
        None => make_faults(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run_role(role: Role, argument: Option<String>) -> Result<()> {
    let argument = argument.context("the role needs an argument");
    match role {
        Role::Worker => worker::work().await,
        Role::Supervisor => worker::supervise(argument?.as_ref()).await,
        Role::Node => rows::run_node(&argument?).await,
        Role::Reader => run_reader(&argument?).await,
    }
}

#[tokio::main]
async fn make_faults() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let seed = arguments
        .seed
        .unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    if arguments.soak {
        let soak = arguments.soak_of_journal(seed).await;
        arguments.print(&soak, || soak.to_string())?;
        return Ok(ExitCode::from(u8::from(soak.has_failed())));
    }
    let (mut rows, mut compared_faults) = (Row::all(), ComparedFault::all());
    if let Some(topology) = arguments.topology {
        rows.retain(|row| row.topology() == topology);
        compared_faults.retain(|_| topology == Topology::Standalone);
    }
    let is_exact = rows.iter().any(|row| arguments.is_exactly(&row.fault()));
    let is_called = |name: &str| {
        if is_exact {
            arguments.is_exactly(name)
        } else {
            arguments.is_called(name)
        }
    };
    rows.retain(|row| is_called(&row.fault()));
    compared_faults.retain(|fault| is_called(&format!("compared: {}", fault.name())));
    ensure!(
        rows.len() + compared_faults.len() > 0,
        "no row matches `--only {}`",
        arguments.only.join(" ")
    );

    let effort = Effort {
        quick: arguments.quick,
        seed,
    };
    let results = measure(&rows, &compared_faults, effort).await;
    arguments.show(&results)?;
    Ok(verdict(&results))
}

async fn measure(rows: &[Row], compared_faults: &[ComparedFault], effort: Effort) -> Results {
    let seed = effort.seed;
    eprintln!("seed {seed}");
    let (mut summaries, mut compared) = (Vec::new(), Vec::new());
    for row in rows {
        eprintln!("{}", row.fault());
        summaries.push(row.run(effort).await);
    }
    for fault in compared_faults {
        eprintln!("compared: {}", fault.name());
        compared.extend(fault.compare(effort).await);
    }
    let libraries = Peer::ALL.iter().map(|peer| Library {
        name: peer.name(),
        settings: peer.settings(),
    });
    Results {
        seed,
        machine: machine(),
        rows: summaries,
        compared,
        libraries: libraries.collect(),
    }
}

impl Arguments {
    /// Returns whether this is the name after `--only`.
    fn is_exactly(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(&self.only.join(" "))
    }

    /// Returns whether this name contains all words after `--only`.
    fn is_called(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let mut words = self.only.iter().flat_map(|word| word.split_whitespace());
        words.all(|word| name.contains(&word.to_lowercase()))
    }

    async fn soak_of_journal(&self, seed: u64) -> Soak {
        let topologies = match self.topology {
            Some(topology) => vec![topology],
            None => Topology::ALL.to_vec(),
        };
        let plans = topologies.into_iter().map(|topology| Plan {
            topology,
            faults: self.faults,
            events: self.events,
            seed,
        });
        Soak::run(plans, machine()).await
    }

    fn show(&self, results: &Results) -> Result<()> {
        self.print(results, || {
            let tables = if self.markdown {
                report::markdown(results)
            } else {
                report::table(results)
            };
            format!("{tables}\n{}; seed {}", results.machine, results.seed)
        })
    }

    /// Prints the text, or JSON instead of it or to a file.
    #[expect(clippy::print_stdout, reason = "this is the program's output")]
    fn print(&self, results: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        let json = serde_json::to_string_pretty(results)?;
        if let Some(file) = &self.json {
            if file == Path::new("-") {
                println!("{json}");
                return Ok(());
            }
            std::fs::write(file, json).with_context(|| file.display().to_string())?;
        }
        println!("{}", text());
        Ok(())
    }
}

/// Describes the machine.
fn machine() -> String {
    let processors = available_parallelism().map_or(0, usize::from);
    let version = Command::new("redis-server").arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = version.unwrap_or_default();
    let number = version
        .split_whitespace()
        .find_map(|word| word.strip_prefix("v="));
    let redis = number.unwrap_or("of unknown version");
    format!("{processors} processors, Redis {redis}")
}

fn verdict(results: &Results) -> ExitCode {
    let mut has_failed = false;
    for row in results.rows.iter().filter(|row| row.has_failed()) {
        eprintln!("failed: {}", row.fault);
        has_failed = true;
    }
    ExitCode::from(u8::from(has_failed))
}
