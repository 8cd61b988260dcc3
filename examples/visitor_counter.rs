//! How many visitors were there? N processes answer on one port, and count together.
//!
//! `cargo run --example visitor-counter -- --workers 4`, then `curl http://127.0.0.1:9999`. It uses
//! the Redis of `TIDINGS_URL`; without it, it starts one of its own, for which `redis-server` must be
//! installed.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Stdio, id};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tidings::prelude::Bus;
use tidings::{Counter, report};
use tidings_testkit::Redis;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, stdin};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::sleep;

const URL: &str = "TIDINGS_URL";

/// A worker that dies at its start must not make a busy loop of its respawns.
const RESPAWN: Duration = Duration::from_millis(200);

/// How many connections may wait for a worker.
const BACKLOG: i32 = 1024;

/// Counts visitors, in as many processes as you like.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// How many processes answer.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,

    /// The port on which all of them answer; 0 takes a free one.
    #[arg(long, default_value_t = 9999)]
    port: u16,

    /// Be one of the workers.
    #[arg(long, hide = true)]
    worker: bool,
}

type Problem = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Problem> {
    let arguments = Arguments::parse();
    if arguments.worker {
        work(arguments.port).await
    } else {
        lead(arguments).await
    }
}

/// The process that is started: keeps the workers running.
async fn lead(arguments: Arguments) -> Result<(), Problem> {
    let (_own, url) = if let Ok(url) = std::env::var(URL) {
        (None, url)
    } else {
        let redis = Redis::start().await;
        let url = redis.url();
        (Some(redis), url)
    };
    // Bound and never listened on: no other program gets the port while a worker is replaced.
    let reserved = bind(arguments.port)?;
    let address = reserved.local_addr()?;
    let at = address.as_socket().ok_or("an IPv4 socket has a port")?;

    let workers = (0..arguments.workers).map(|_| keep_running(&url, at.port()));
    let workers: Vec<_> = workers.map(tokio::spawn).collect();
    println!("{} workers answer on http://{at}", arguments.workers);
    tokio::signal::ctrl_c().await?;
    // With their tasks, the processes end.
    workers.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

/// Runs a worker, and another one whenever it ends.
fn keep_running(url: &str, port: u16) -> impl Future<Output = ()> + Send + 'static {
    let url = url.to_owned();
    async move {
        loop {
            match run(&url, port).await {
                Ok(status) => eprintln!("a worker ended: {status}"),
                Err(error) => eprintln!("a worker cannot be started: {error}"),
            }
            sleep(RESPAWN).await;
        }
    }
}

async fn run(url: &str, port: u16) -> std::io::Result<std::process::ExitStatus> {
    let mut child = start(url, port)?;
    let said = child.stdout.take().map(BufReader::new);
    let mut lines = said.ok_or(std::io::ErrorKind::BrokenPipe)?.lines();
    while let Some(line) = lines.next_line().await? {
        println!("{line}");
    }
    child.wait().await
}

fn start(url: &str, port: u16) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["--worker", "--port", &port.to_string()])
        // Arguments are seen by everybody on the machine, and an address can hold a password.
        .env(URL, url)
        // It ends when this pipe does, whatever becomes of us.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// One of the workers.
async fn work(port: u16) -> Result<(), Problem> {
    let bus = Bus::builder(&std::env::var(URL)?)
        .namespace("visitor-counter")
        .start()
        .await?;
    let app = Router::new()
        .route("/", get(visit))
        .with_state(bus.counter("visits")?);

    let socket = bind(port)?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    println!("worker {} is ready", id());
    axum::serve(listener, app)
        .with_graceful_shutdown(left_alone())
        .await?;
    bus.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

/// Waits until the process that started this one is gone, or wants it to end.
async fn left_alone() {
    // Nothing is ever written into this pipe.
    let _ = stdin().read(&mut [0]).await;
}

/// Each worker binds the port anew, and the system spreads the connections.
fn bind(port: u16) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    Ok(socket)
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
