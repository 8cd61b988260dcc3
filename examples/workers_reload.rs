//! One word on the bus replaces the workers of all hosts, and each host answers what came of it.
//!
//! On each host `workers-reload --host NAME --listen 127.0.0.1:9999 -- ./my-server`; then, on any of
//! them, `workers-reload --now`. It uses the Redis of `TIDINGS_URL`, or the one of this machine.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tidings::prelude::*;
use tidings::{AnswerError, Builder, report};
use tidings_supervisor::{
    Listen, Order, ReloadError, Reloaded, Signals, Stopped, Supervisor, Workers,
};

/// How long a new worker may take to get ready, …
const READY: Duration = Duration::from_secs(20);

/// … and how long all of a host, and its answer: as long as a handler may take.
const ANSWER: Duration = Duration::from_secs(30);

/// Keeps workers running on this host, until all hosts are told to replace theirs.
#[derive(Debug, Parser)]
struct Arguments {
    /// Tell all hosts, say what came of it, and end.
    #[arg(long, exclusive = true)]
    now: bool,

    /// What this host is called.
    #[arg(long, default_value = "a host")]
    host: String,

    /// How many workers it has.
    #[arg(long, default_value_t = 2)]
    workers: usize,

    /// Where they are reached.
    #[arg(long)]
    listen: Vec<Listen>,

    /// What they run.
    #[arg(last = true, required_unless_present = "now")]
    command: Vec<String>,
}

type Problem = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<ExitCode, Problem> {
    let arguments = Arguments::parse();
    if arguments.now {
        reload_all().await
    } else {
        let stopped = host(arguments).await?;
        Ok(ExitCode::from(u8::from(!stopped.is_clean())))
    }
}

fn bus() -> Builder {
    let url = std::env::var("TIDINGS_URL");
    let url = url.unwrap_or_else(|_| "redis://127.0.0.1".to_owned());
    Bus::builder(&url).namespace("workers-reload")
}

/// One of the hosts.
async fn host(arguments: Arguments) -> Result<Stopped, Problem> {
    let (program, others) = arguments.command.split_first().ok_or("which program?")?;
    let supervisor = Supervisor::of(program)
        .args(others)
        .workers(arguments.workers)
        .ready_timeout(READY);
    let listen = arguments.listen.into_iter();
    let supervisor = listen.fold(supervisor, Supervisor::listen);
    let signals = Signals::catch()?;
    let workers = supervisor.start().await?;
    let ruled = workers.clone();
    let ruling = tokio::spawn(async move { signals.rule(&ruled, Order::AllAtOnce).await });
    if workers.ready().await
        && let Err(error) = hear(&arguments.host, &workers).await
    {
        workers.stop().await;
        return Err(error);
    }
    Ok(ruling.await?)
}

/// Reloads the workers when all hosts are told to, until they have ended.
async fn hear(host: &str, workers: &Workers) -> Result<(), Problem> {
    let bus = bus()
        .name(host)
        .state(workers.clone())
        .on("workers.reload", reload)
        .start()
        .await?;
    println!("{host} hears");
    workers.ended().await;
    bus.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

/// What it returns is the answer.
async fn reload(order: Order, State(workers): State<Workers>) -> Result<Reloaded, ReloadError> {
    workers.reload(order).await
}

/// Tells all hosts.
async fn reload_all() -> Result<ExitCode, Problem> {
    // None of the hosts.
    let bus = bus().without_membership().start().await?;
    let asking = bus.ask_all::<Reloaded, _, _>("workers.reload", &Order::AllAtOnce);
    let mut answers = asking.within(ANSWER).await?;
    while let Some(answer) = answers.next().await {
        match answer.value {
            Ok(Reloaded { workers, took, .. }) => {
                println!("{}: {workers} new workers after {took:.1?}", answer.from);
            }
            // No host, such as this process.
            Err(AnswerError::NoHandler) => {}
            Err(error) => println!("{}: {}", answer.from, report(&error)),
        }
    }
    let summary = answers.summary().await;
    for host in summary.silent.iter().chain(&summary.left) {
        println!("{host}: no answer");
    }
    bus.shutdown(Duration::from_secs(5)).await?;
    Ok(ExitCode::from(u8::from(!summary.is_complete())))
}
