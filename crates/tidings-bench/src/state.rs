//! `cargo xtask bench state`: a contended value, the propagation of a change, and the cost of idle
//! members.

mod barrier;
mod contention;
mod members;
mod propagation;
mod task;

use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use self::contention::Contention;
use self::members::Cost;
use self::propagation::Propagation;
pub(crate) use self::task::StateWork;
use self::task::Task;

/// The measurements of shared state.
#[derive(clap::Args, Debug)]
pub(crate) struct StatePlan {
    /// Only these measurements.
    #[arg(long, num_args = 1.., value_enum)]
    only: Vec<Measurement>,
    /// Rounds: each measures each row of a table once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Print the results as JSON instead of tables.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Measurement {
    /// Ten processes change one value.
    Contention,
    /// Eight processes see a value change.
    Propagation,
    /// Ten, a hundred and a thousand idle members.
    Members,
}

#[derive(Debug, Serialize)]
struct Results {
    contention: Vec<Contention>,
    propagation: Vec<Propagation>,
    members: Vec<Cost>,
}

#[expect(clippy::print_stdout, reason = "this is the program's output")]
pub(crate) async fn run(plan: &StatePlan) -> anyhow::Result<ExitCode> {
    let wants = |what| plan.only.is_empty() || plan.only.contains(&what);
    let mut results = Results {
        contention: Vec::new(),
        propagation: Vec::new(),
        members: Vec::new(),
    };
    if wants(Measurement::Contention) {
        results.contention = contention::measure(plan.rounds).await?;
    }
    if wants(Measurement::Propagation) {
        results.propagation = propagation::measure(plan.rounds).await?;
    }
    if wants(Measurement::Members) {
        results.members = members::measure().await?;
    }
    if plan.json {
        println!("{}", serde_json::to_string_pretty(&results)?);
    } else {
        contention::show(&results.contention);
        propagation::show(&results.propagation);
        members::show(&results.members);
    }
    let is_wrong = results.contention.iter().any(Contention::is_wrong)
        || results.members.iter().any(Cost::is_wrong);
    Ok(ExitCode::from(u8::from(is_wrong)))
}

pub(crate) async fn work(part: &StateWork) -> anyhow::Result<()> {
    let StateWork { task, url, work } = part;
    match task {
        Task::Change => contention::change(url, serde_json::from_str(work)?).await,
        Task::Watch => propagation::watch(url, serde_json::from_str(work)?).await,
        Task::Members => members::run(url, serde_json::from_str(work)?).await,
    }
}
