//! How many visitors were there? N processes answer on one socket, and count together.
//!
//! `cargo run --example visitor-counter -- --workers 4`, then `curl http://127.0.0.1:9999`. It uses
//! the Redis of `TIDINGS_URL`; without it, it starts one of its own, for which `redis-server` must be
//! installed. SIGHUP replaces all workers, and no visitor is lost.
//!
//! With `--worker` it is one of them, under any supervisor that passes a socket:
//! `tidings run --workers 4 --listen 127.0.0.1:9999 -- target/debug/examples/visitor-counter --worker`.

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
use tidings_supervisor::{Listen, Order, Supervisor};
use tidings_testkit::Redis;
use tokio::net::TcpListener;

const URL: &str = "TIDINGS_URL";

/// Counts visitors, in as many processes as you like.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// How many processes answer.
    #[arg(long, default_value_t = 4)]
    workers: usize,

    /// The port on which all of them answer; 0 takes a free one.
    #[arg(long, default_value_t = 9999)]
    port: u16,

    /// Be one of the workers.
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

/// The process that is started: keeps the workers running.
async fn lead(arguments: Arguments) -> Result<ExitCode, Problem> {
    let (_own, url) = if let Ok(url) = std::env::var(URL) {
        (None, url)
    } else {
        let redis = Redis::start().await;
        let url = redis.url();
        (Some(redis), url)
    };
    let stopped = Supervisor::of(std::env::current_exe()?)
        .args(["--worker"])
        // Arguments are seen by everybody on the machine, and an address can hold a password.
        .env(URL, url)
        .workers(arguments.workers)
        .listen(Listen::tcp((Ipv4Addr::LOCALHOST, arguments.port).into()))
        .on_report(|report| drop(writeln!(stdout(), "{report}")))
        .run(Order::AllAtOnce)
        .await?;
    Ok(ExitCode::from(u8::from(!stopped.is_clean())))
}

/// One of the workers.
async fn work() -> Result<(), Problem> {
    let bus = Bus::builder(&std::env::var(URL)?)
        .namespace("visitor-counter")
        .start()
        .await?;
    let app = Router::new()
        .route("/", get(visit))
        .with_state(bus.counter("visits")?);

    let socket = ListenFd::from_env().take_tcp_listener(0)?;
    let socket = socket.ok_or("a worker gets its socket from a supervisor")?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket)?;
    println!(
        "process {} answers on http://{}",
        id(),
        listener.local_addr()?
    );

    let server = tidings_supervisor::axum::serve(listener, app);
    tidings_supervisor::ready()?;
    server.await?;
    bus.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

/// No worker keeps a number of its own, none sets one at its start, and a number that is not known
/// is not made up.
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
