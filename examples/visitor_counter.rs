//! Counts visitors: N processes serve one socket and share one counter.
//!
//! `cargo run --example visitor-counter -- --workers 4`, then `curl
//! http://127.0.0.1:9999`. It uses the Redis of `TIDINGS_URL`. Without that variable it starts its
//! own, for which `redis-server` must be installed. SIGHUP replaces all workers, and no request is
//! lost.
//!
//! With `--worker` it is a worker, for any supervisor that passes a socket: `tidings run --workers
//! 4 --listen 127.0.0.1:9999 -- target/debug/examples/visitor-counter --worker`.

use std::error::Error;
use std::io::{Write, stdout};
use std::net::Ipv4Addr;
use std::process::{ExitCode, id};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use listenfd::ListenFd;
use serde_json::{Value, json};
use tidings::prelude::Bus;
use tidings::{Counter, report};
use tidings_supervisor::{ListenAddress, ReloadStrategy, Supervisor};
use tidings_testkit::Redis;
use tokio::net::TcpListener;

const URL: &str = "TIDINGS_URL";

tidings::counter!("visits");

/// Counts visitors with several processes.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// The number of worker processes.
    #[arg(long, default_value_t = 4)]
    workers: usize,

    /// The port of all workers; 0 chooses a free one.
    #[arg(long, default_value_t = 9999)]
    port: u16,

    /// Run as a worker.
    #[arg(long)]
    worker: bool,
}

type Problem = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<ExitCode, Problem> {
    let arguments = Arguments::parse();
    if arguments.worker {
        work().await?;
        return Ok(ExitCode::SUCCESS);
    }
    lead(arguments).await
}

/// Runs the supervisor of the workers.
async fn lead(arguments: Arguments) -> Result<ExitCode, Problem> {
    let (_own, url) = if let Ok(url) = std::env::var(URL) {
        (None, url)
    } else {
        let redis = Redis::start().await;
        let url = redis.url();
        (Some(redis), url)
    };
    let stopped = Supervisor::new(std::env::current_exe()?)
        .args(["--worker"])
        // Every user of the machine can see arguments, and an address can contain a password.
        .env(URL, url)
        .workers(arguments.workers)
        .listen(ListenAddress::tcp(
            (Ipv4Addr::LOCALHOST, arguments.port).into(),
        ))
        .on_event(|report| drop(writeln!(stdout(), "{report}")))
        .run(ReloadStrategy::AllAtOnce)
        .await?;
    Ok(ExitCode::from(u8::from(!stopped.is_clean())))
}

/// Runs a worker.
async fn work() -> Result<(), Problem> {
    let bus = Bus::builder(&std::env::var(URL)?)
        .namespace("visitor-counter")
        .start()
        .await?;
    let app = Router::new()
        .route("/", get(visit))
        .with_state(bus.counter("visits")?);

    let socket = ListenFd::from_env().take_tcp_listener(0)?;
    let socket = socket.ok_or("a worker needs a socket from its supervisor")?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket)?;
    println!(
        "process {} answers on http://{}",
        id(),
        listener.local_addr()?
    );

    let server = tidings_supervisor::axum::serve(listener, app);
    tidings_supervisor::notify_ready()?;
    server.await?;
    bus.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

/// Counts a visitor. A worker has no counter of its own and does not reset the shared one. If the
/// count is not known, the response is an error.
async fn visit(State(visits): State<Counter>) -> (StatusCode, Json<Value>) {
    match visits.add(1).await {
        Ok(counter) => (
            StatusCode::OK,
            Json(json!({ "counter": counter, "pid": id() })),
        ),
        Err(error) => {
            let error = report(&error).to_string();
            let answer = json!({ "error": error, "pid": id() });
            (StatusCode::SERVICE_UNAVAILABLE, Json(answer))
        }
    }
}
