//! The project's own commands: `cargo xtask`. CI runs the same.

mod bench;
mod book;
mod broken;
mod check;
mod dist;
mod faults;
mod release;
mod test;

mod compose;
mod deployment;
mod install;
mod layout;
mod limits;
mod links;
mod peers;
mod prose;
mod public_api;
mod reader;
mod rendered;
mod secrets;
mod steps;
mod texts;
mod tool;

use std::process::ExitCode;

use clap::Parser;

/// Checks, tests and benchmarks of tidings.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Runs the checks, then lints and tests, which need real Redis servers.
    Test {
        /// Run instead what takes minutes: the documentation and its examples, lints without features,
        /// the packages that measure, instruction budgets, many more random cases, payloads of every
        /// shape, verdicts on contracts, faults of the journal, programs in other languages, the
        /// rendered book, the release archive.
        #[arg(long)]
        long: bool,
    },
    /// Runs the checks alone: format, lints, documentation, layout, links, words, texts and limits of
    /// the book, compose file, deployment files and units, dependencies.
    Check {
        /// Run only the steps whose name contains one of these words.
        only: Vec<String>,
    },
    /// Compares the public API of the libraries with the listings in `api/`.
    Api {
        /// Write the listings instead.
        #[arg(long)]
        update: bool,
    },
    /// Measures the speed of tidings and of other libraries in the same run.
    #[command(disable_help_flag = true)]
    Bench {
        /// Count the instructions of an event instead; takes `--json`, or `--budget` to update the
        /// budgets.
        #[arg(long)]
        instructions: bool,
        /// Arguments of the benchmark: `--check`, `--against main`, `--only feed nats`, `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Builds the book with mdBook, checks its links and words, and looks at its pages in Chromium.
    Book {
        /// Then do what part one says, in an empty folder and with packaged crates: before a release.
        #[arg(long)]
        reader: bool,
    },
    /// Breaks tidings on purpose, one patch at a time, and expects its tests to fail.
    Broken {
        /// Apply only the patches whose name contains one of these words.
        only: Vec<String>,
    },
    /// Packs the program `tidings` with its manual pages and completions into `target/dist`.
    Dist,
    /// Measures how tidings and other libraries handle faults.
    #[command(disable_help_flag = true)]
    Faults {
        /// Arguments of the fault program: `--only chaos`, `--seed 7`, `--quick`, `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Checks what would be published: packages, their manifests and sizes, the public API.
    Release {
        /// Run only the steps whose name contains one of these words.
        only: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Test { long: false } => test::run(),
        Task::Test { long: true } => test::run_long(),
        Task::Check { only } => check::run(&only),
        Task::Api { update: false } => public_api::look(),
        Task::Api { update: true } => public_api::update(),
        Task::Bench {
            instructions: true,
            arguments,
        } => bench::count_instructions(&arguments),
        Task::Bench { arguments, .. } => bench::run(&arguments),
        Task::Book { reader: false } => book::run(),
        Task::Book { reader: true } => book::run().and_then(|()| reader::look()),
        Task::Broken { only } => broken::run(&only),
        Task::Dist => dist::run(),
        Task::Faults { arguments } => faults::run(&arguments),
        Task::Release { only } => release::run(&only),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
