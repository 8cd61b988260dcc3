//! What it costs to keep things together: a value that many processes change at once, how soon a
//! change is seen, and what members cost that do nothing.

mod contention;
mod gate;
mod members;
mod seen;

use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use self::contention::Contention;
use self::members::Cost;
use self::seen::Seen;

/// What to measure of shared values and members.
#[derive(clap::Args, Debug)]
pub(crate) struct StatePlan {
    /// Only these of the three.
    #[arg(long, num_args = 1.., value_enum)]
    only: Vec<What>,
    /// How often each row is measured, the rows of a table in turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The results as JSON instead of tables.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum What {
    /// Ten processes change one value.
    Contention,
    /// Eight processes see a value change.
    Seen,
    /// Ten, a hundred and a thousand members.
    Members,
}

/// What a process of a run does.
#[derive(clap::Args, Debug)]
pub(crate) struct KeepPart {
    task: Task,
    url: String,
    /// All that it must know, in JSON.
    work: String,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Task {
    /// Changes a value, in competition with others.
    Change,
    /// Sees a value change, or hears of it as a bare event.
    See,
    /// Is so many members.
    Be,
}

impl Task {
    fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::See => "see",
            Self::Be => "be",
        }
    }
}

#[derive(Debug, Serialize)]
struct Results {
    contention: Vec<Contention>,
    seen: Vec<Seen>,
    members: Vec<Cost>,
}

#[expect(clippy::print_stdout, reason = "this is the program's output")]
pub(crate) async fn run(plan: &StatePlan) -> anyhow::Result<ExitCode> {
    let wants = |what| plan.only.is_empty() || plan.only.contains(&what);
    let mut results = Results {
        contention: Vec::new(),
        seen: Vec::new(),
        members: Vec::new(),
    };
    if wants(What::Contention) {
        results.contention = contention::measure(plan.rounds).await?;
    }
    if wants(What::Seen) {
        results.seen = seen::measure(plan.rounds).await?;
    }
    if wants(What::Members) {
        results.members = members::measure().await?;
    }
    if plan.json {
        println!("{}", serde_json::to_string_pretty(&results)?);
    } else {
        contention::show(&results.contention);
        seen::show(&results.seen);
        members::show(&results.members);
    }
    let is_wrong = results.contention.iter().any(Contention::is_wrong)
        || results.members.iter().any(Cost::is_wrong);
    Ok(ExitCode::from(u8::from(is_wrong)))
}

pub(crate) async fn work(part: &KeepPart) -> anyhow::Result<()> {
    match part.task {
        Task::Change => contention::change(&part.url, serde_json::from_str(&part.work)?).await,
        Task::See => seen::see(&part.url, serde_json::from_str(&part.work)?).await,
        Task::Be => members::be(&part.url, serde_json::from_str(&part.work)?).await,
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
