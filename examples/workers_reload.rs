//! One request on the bus replaces the workers of all hosts, and each host responds with the
//! result.
//!
//! Run `workers-reload --host NAME --listen 127.0.0.1:9999 -- ./my-server` on each host, then
//! `workers-reload --now` on any of them. It uses the Redis of `TIDINGS_URL`, or the one on this
//! machine.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tidings::prelude::*;
use tidings::{BusBuilder, ResponseError, report};
use tidings_supervisor::{
    ListenAddress, ReloadError, ReloadStrategy, Reloaded, Signals, Stopped, Supervisor, Workers,
};

/// The time that a new worker may take to become ready.
const READY: Duration = Duration::from_secs(20);

/// The time that a host may take to reload and respond: the timeout of a handler.
const RESPONSE: Duration = Duration::from_secs(30);

/// Runs the workers of this host, and replaces them when any host requests it.
#[derive(Debug, Parser)]
struct Arguments {
    /// Reload the workers of all hosts, print the results, and exit.
    #[arg(long, exclusive = true)]
    now: bool,

    /// The name of this host.
    #[arg(long, default_value = "a host")]
    host: String,

    /// The number of workers.
    #[arg(long, default_value_t = 2)]
    workers: usize,

    /// The addresses of the workers.
    #[arg(long)]
    listen: Vec<ListenAddress>,

    /// The command that each worker runs.
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

fn bus() -> BusBuilder {
    let url = std::env::var("TIDINGS_URL");
    let url = url.unwrap_or_else(|_| "redis://127.0.0.1".to_owned());
    Bus::builder(&url).namespace("workers-reload")
}

/// Runs the workers of one host.
async fn host(arguments: Arguments) -> Result<Stopped, Problem> {
    let (program, others) = arguments.command.split_first().ok_or("which program?")?;
    let supervisor = Supervisor::new(program)
        .args(others)
        .workers(arguments.workers)
        .ready_timeout(READY);
    let listen = arguments.listen.into_iter();
    let supervisor = listen.fold(supervisor, Supervisor::listen);
    let signals = Signals::catch()?;
    let workers = supervisor.start().await?;
    let handled = workers.clone();
    let handling =
        tokio::spawn(async move { signals.handle(&handled, ReloadStrategy::AllAtOnce).await });
    if workers.wait_until_ready().await
        && let Err(error) = receive(&arguments.host, &workers).await
    {
        workers.stop().await;
        return Err(error);
    }
    Ok(handling.await?)
}

/// Reloads the workers on request, until they have ended.
async fn receive(host: &str, workers: &Workers) -> Result<(), Problem> {
    let bus = bus()
        .name(host)
        .state(workers.clone())
        .on("workers.reload", reload)
        .start()
        .await?;
    println!("{host} is ready");
    workers.wait_until_stopped().await;
    bus.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

/// Returns the response to the request.
async fn reload(
    strategy: ReloadStrategy,
    State(workers): State<Workers>,
) -> Result<Reloaded, ReloadError> {
    workers.reload(strategy).await
}

/// Sends the request to all hosts and prints their responses.
async fn reload_all() -> Result<ExitCode, Problem> {
    // This process is not a host.
    let bus = bus().membership(false).start().await?;
    let asking = bus.request_all::<Reloaded, _, _>("workers.reload", &ReloadStrategy::AllAtOnce);
    let mut answers = asking.timeout(RESPONSE).await?;
    while let Some(answer) = answers.next().await {
        match answer.value {
            Ok(Reloaded { workers, took, .. }) => {
                println!(
                    "{}: {workers} new workers after {took:.1?}",
                    answer.responder
                );
            }
            // Not a host, such as this process.
            Err(ResponseError::NoHandler) => {}
            Err(error) => println!("{}: {}", answer.responder, report(&error)),
        }
    }
    let summary = answers.summary().await;
    for host in summary.timed_out.iter().chain(&summary.left) {
        println!("{host}: no response");
    }
    bus.shutdown(Duration::from_secs(5)).await?;
    Ok(ExitCode::from(u8::from(!summary.is_complete())))
}
