//! Measures tidings and its peers between processes, over a real Redis, with the same work in the
//! same run.
//!
//! The program starts the servers. For each run it starts subscriber and sender processes: copies
//! of itself, or scripts for the peers in other languages. A process gets its work as one JSON
//! argument and prints its measurements as one line of JSON.

#![expect(
    clippy::cast_precision_loss,
    reason = "counts become figures for people: all of them are far below 2^52"
)]

// Reading order: the rows …
mod peers;
mod plan;
mod rows;
// … the runs …
mod process;
mod rounds;
mod run;
mod servers;
mod trials;
// … another revision of tidings …
mod against;
mod revision;
// … shared state …
mod state;
// … the results …
mod chart;
mod json;
mod outcome;
mod report;
mod results;
mod summary;
mod targets;
// … and a process of a run.
mod clock;
mod envelope;
mod event;
mod pacer;
mod sender;
mod subscriber;
mod tally;
mod work;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::peers::Peer;
use crate::plan::Plan;
use crate::process::print_result;
use crate::state::{StatePlan, StateWork};
use crate::subscriber::Subscriber;
use crate::work::Work;

/// Measures tidings on this machine, and every peer in the same run.
///
/// A peer whose tool is missing is left out; `cargo xtask bench` installs what it can.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", version)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    plan: Plan,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures shared state: a contended value, the propagation of a change, idle members.
    State(StatePlan),
    #[command(flatten)]
    Process(Role),
}

/// The role of a process of a run.
#[derive(Debug, Subcommand)]
enum Role {
    /// Takes part in a run of `state`.
    #[command(hide = true)]
    StateProcess(StateWork),
    /// Receives the events of a run and measures.
    #[command(hide = true)]
    Receive(Part),
    /// Sends the events of a run.
    #[command(hide = true)]
    Send(Part),
}

#[derive(Debug, clap::Args)]
struct Part {
    peer: Peer,
    url: String,
    /// The work, in JSON.
    work: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { plan, command } = Arguments::parse();
    let role = match command {
        // Not by a signal's default: what was started for another revision is removed.
        None => tokio::select! {
            done = plan::run(&plan) => return done,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                anyhow::bail!("interrupted");
            }
        },
        Some(Command::State(plan)) => return state::run(&plan).await,
        Some(Command::Process(role)) => role,
    };
    process::end_with_parent()?;
    match role {
        Role::StateProcess(work) => state::work(&work).await?,
        Role::Receive(part) => receive(part).await?,
        Role::Send(part) => {
            let work: Work = serde_json::from_str(&part.work)?;
            print_result(&peers::send(part.peer, &part.url, work).await?)?;
        }
    }
    // Connections and other tasks may still run; nobody needs them any more.
    std::process::exit(0)
}

async fn receive(part: Part) -> anyhow::Result<()> {
    let work: Work = serde_json::from_str(&part.work)?;
    let subscriber = Subscriber::new(work);
    let peer = {
        let subscriber = subscriber.clone();
        tokio::spawn(async move { peers::receive(part.peer, &part.url, &work, subscriber).await })
    };
    tokio::select! {
        ended = peer => {
            ended??;
            anyhow::bail!("the connection ended");
        }
        () = subscriber.over() => {}
    }
    print_result(&subscriber.result())
}
