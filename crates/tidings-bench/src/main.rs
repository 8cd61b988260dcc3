//! Measures tidings between processes through a real Redis, beside the redis crate on the same
//! work in the same run.
//!
//! The program starts a Redis and copies of itself: one that hears, one that sends. Each prints
//! what it measured as one line of JSON.

mod clock;
mod hearer;
mod order;
mod plan;
mod report;
mod sender;

use clap::{Parser, Subcommand};

use crate::plan::Peer;
use crate::sender::Load;

#[derive(Debug, Parser)]
#[command(about, version)]
struct Arguments {
    #[command(flatten)]
    plan: plan::Plan,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What a process of a run does; without a role it runs the plan.
#[derive(Debug, Subcommand)]
enum Role {
    /// Hears all events of a run and measures.
    #[command(hide = true)]
    Hear {
        peer: Peer,
        url: String,
        events: u64,
        lanes: u64,
    },
    /// Sends the events of a run.
    #[command(hide = true)]
    Send {
        peer: Peer,
        url: String,
        events: u64,
        #[command(subcommand)]
        load: Load,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { plan, role } = Arguments::parse();
    match role {
        None => plan::run(&plan).await,
        Some(Role::Hear {
            peer,
            url,
            events,
            lanes,
        }) => hearer::hear(peer, &url, events, lanes).await,
        Some(Role::Send {
            peer,
            url,
            events,
            load,
        }) => sender::send(peer, &url, events, load).await,
    }
}
