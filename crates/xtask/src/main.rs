//! The project's own program: `cargo xtask`. CI runs the same commands.

mod bench;
mod broken;
mod check;
mod faults;
mod instructions;
mod test;

mod install;
mod layout;
mod links;
mod peers;
mod secrets;
mod steps;
mod tool;

use std::process::ExitCode;

use clap::Parser;

/// What a change to tidings has to pass, and what it is measured with.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Everything CI runs: the checks, then all tests against a real Redis.
    Test,
    /// Everything but the tests: format, lints, documentation, dependencies.
    Check {
        /// Only the steps whose name contains one of these.
        only: Vec<String>,
    },
    /// How fast tidings is on this machine, beside every peer in the same run.
    #[command(disable_help_flag = true)]
    Bench {
        /// Count instructions instead, step by step: `--json`, or `--budget` for the budgets' file.
        #[arg(long)]
        instructions: bool,
        /// For the benchmark program: `--rounds 5`, `--only feed nats`, `--check`, `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Breaks tidings on purpose, one thing at a time, and sees its tests fail.
    Broken {
        /// Only those whose name contains one of these.
        only: Vec<String>,
    },
    /// What tidings does when something goes wrong, beside other libraries in the same run.
    #[command(disable_help_flag = true)]
    Faults {
        /// For the program that makes the faults: `--only chaos`, `--seed 7`, `--quick`, `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Test => test::run(),
        Task::Check { only } => check::run(&only),
        Task::Bench {
            instructions: true,
            arguments,
        } => instructions::run(&arguments),
        Task::Bench { arguments, .. } => bench::run(&arguments),
        Task::Broken { only } => broken::run(&only),
        Task::Faults { arguments } => faults::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
