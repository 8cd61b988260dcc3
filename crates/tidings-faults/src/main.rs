//! What tidings does when something goes wrong: each fault is made to happen to a real Redis, and what
//! becomes of every event is checked.

// Reading order: what is measured …
mod rows;
mod script;
// … beside whom …
mod compare;
mod peers;
// … how a trial is made and judged …
mod clock;
mod leftovers;
mod oracle;
mod roles;
mod traffic;
// … and how it is shown.
mod report;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread::available_parallelism;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use rand::Rng;
use serde::Serialize;

use crate::compare::{Comparison, Trouble};
use crate::peers::Peer;
use crate::roles::Role;
use crate::rows::{Effort, Row, Summary};

/// What tidings does when something goes wrong, on this machine and a real Redis.
///
/// It fails, and names each row, where a figure is not kept or an event is not accounted for.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask faults", bin_name = "cargo xtask faults", version)]
struct Arguments {
    /// Only the row of this name, such as `chaos`, or else those whose name contains all of these
    /// words, such as `half-open frozen`; those of the comparison begin with `compared`.
    #[arg(long, value_name = "WORDS", num_args = 1..)]
    only: Vec<String>,
    /// A fifth of the repetitions: whether it works, not how well.
    #[arg(long)]
    quick: bool,
    /// What the random faults are made from: the same number makes the same ones.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// The results as JSON, in a file or instead of the table.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// The table as the book has it.
    #[arg(long)]
    markdown: bool,
}

/// All that was measured.
#[derive(Debug, Serialize)]
struct Results {
    seed: u64,
    machine: String,
    rows: Vec<Summary>,
    compared: Vec<Comparison>,
    libraries: Vec<Library>,
}

/// A library that took part, and how it was set.
#[derive(Debug, Serialize)]
struct Library {
    name: &'static str,
    settings: &'static str,
}

fn main() -> Result<ExitCode> {
    match Role::of_this_process() {
        Some((role, with)) => role.play(with).map(|()| ExitCode::SUCCESS),
        None => make_faults(),
    }
}

#[tokio::main]
async fn make_faults() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let seed = arguments
        .seed
        .unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let (mut rows, mut troubles) = (Row::all(), Trouble::all());
    let is_exact = rows.iter().any(|row| arguments.is_exactly(&row.fault()));
    let is_called = |name: &str| {
        if is_exact {
            arguments.is_exactly(name)
        } else {
            arguments.is_called(name)
        }
    };
    rows.retain(|row| is_called(&row.fault()));
    troubles.retain(|trouble| is_called(&format!("compared: {}", trouble.name())));
    ensure!(rows.len() + troubles.len() > 0, "no row is called that");

    let effort = Effort {
        quick: arguments.quick,
        seed,
    };
    let results = measure(&rows, &troubles, effort).await;
    arguments.show(&results)?;
    Ok(verdict(&results))
}

async fn measure(rows: &[Row], troubles: &[Trouble], effort: Effort) -> Results {
    let seed = effort.seed;
    eprintln!("seed {seed}");
    let (mut summaries, mut compared) = (Vec::new(), Vec::new());
    for row in rows {
        eprintln!("{}", row.fault());
        summaries.push(row.run(effort).await);
    }
    for trouble in troubles {
        eprintln!("compared: {}", trouble.name());
        compared.extend(trouble.compare(effort).await);
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
    /// Whether this is the name that was given.
    fn is_exactly(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(&self.only.join(" "))
    }

    /// Whether this name contains all of the words.
    fn is_called(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let mut words = self.only.iter().flat_map(|word| word.split_whitespace());
        words.all(|word| name.contains(&word.to_lowercase()))
    }

    #[expect(clippy::print_stdout, reason = "this is the program's output")]
    fn show(&self, results: &Results) -> Result<()> {
        let json = serde_json::to_string_pretty(results)?;
        if let Some(file) = &self.json {
            if file == Path::new("-") {
                println!("{json}");
                return Ok(());
            }
            std::fs::write(file, json).with_context(|| file.display().to_string())?;
        }
        if self.markdown {
            println!("{}", report::markdown(results));
        } else {
            println!("{}", report::table(results));
        }
        println!("{}; seed {}", results.machine, results.seed);
        Ok(())
    }
}

/// What it was measured on.
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
    let mut is_short = false;
    for row in results.rows.iter().filter(|row| row.falls_short()) {
        eprintln!("falls short: {}", row.fault);
        is_short = true;
    }
    ExitCode::from(u8::from(is_short))
}
