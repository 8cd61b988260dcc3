//! Measures tidings between processes through a real Redis, beside every peer on the same work in
//! the same run.
//!
//! The program starts the servers and, for each run, processes that hear and one or more that send:
//! copies of itself, or scripts for the peers in other languages. Each gets its work as one
//! argument in JSON and prints what it measured as one line of JSON.

#![expect(
    clippy::cast_precision_loss,
    reason = "counts become figures for people: all of them are far below 2^52"
)]

// Reading order: what is measured …
mod peers;
mod rows;
// … how a run is made …
mod overload;
mod process;
mod rounds;
mod run;
mod servers;
// … what is kept together …
mod state;
// … what becomes of the figures …
mod chart;
mod json;
mod report;
mod summary;
mod targets;
// … and what a process of a run does.
mod clock;
mod envelope;
mod event;
mod hearing;
mod pacer;
mod sending;
mod tally;
mod work;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::hearing::Hearing;
use crate::peers::Peer;
use crate::rounds::Plan;
use crate::state::{KeepPart, StatePlan};
use crate::work::Work;

/// How fast tidings is on this machine, beside every peer in the same run.
///
/// Without a peer's tool it is left out by name; `cargo xtask bench` brings what it can.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", version)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    plan: Plan,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What a process of a run does; without a role it runs the plan.
#[derive(Debug, Subcommand)]
enum Role {
    /// What it costs to keep things together: a contended value, how soon a change is seen, members.
    State(StatePlan),
    #[command(flatten)]
    Process(ProcessRole),
}

#[derive(Debug, Subcommand)]
enum ProcessRole {
    /// Keeps something together with the other processes of a run.
    #[command(hide = true)]
    Keep(KeepPart),
    /// Hears the events of a run and measures.
    #[command(hide = true)]
    Hear(Part),
    /// Sends the events of a run.
    #[command(hide = true)]
    Send(Part),
}

#[derive(Debug, clap::Args)]
struct Part {
    peer: Peer,
    url: String,
    /// All that it must know, in JSON.
    work: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { plan, role } = Arguments::parse();
    let role = match role {
        None => return rounds::run(&plan).await,
        Some(Role::State(plan)) => return state::run(&plan).await,
        Some(Role::Process(role)) => role,
    };
    process::end_with_parent()?;
    match role {
        ProcessRole::Keep(part) => state::work(&part).await?,
        ProcessRole::Hear(part) => hear(part).await?,
        ProcessRole::Send(part) => {
            let work: Work = serde_json::from_str(&part.work)?;
            print(&peers::send(part.peer, &part.url, work).await?)?;
        }
    }
    // What still runs in the background, such as connections, is of no interest any more.
    std::process::exit(0)
}

async fn hear(part: Part) -> anyhow::Result<()> {
    let work: Work = serde_json::from_str(&part.work)?;
    let hearing = Hearing::new(work);
    let peer = {
        let hearing = hearing.clone();
        tokio::spawn(async move { peers::hear(part.peer, &part.url, &work, hearing).await })
    };
    tokio::select! {
        ended = peer => {
            ended??;
            anyhow::bail!("the connection ended");
        }
        () = hearing.over() => {}
    }
    print(&hearing.result())
}

/// The process is there, and hears.
#[expect(clippy::print_stdout, reason = "the benchmark waits for this line")]
fn say_ready() {
    println!("ready");
}

#[expect(clippy::print_stdout, reason = "the benchmark reads this line")]
fn print(result: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(result)?);
    Ok(())
}
