//! A web server as a worker: it takes its socket from the supervisor, says that it is ready, and ends
//! so that nobody loses a request.
//!
//! `tidings run --workers 4 --listen 127.0.0.1:9999 -- target/debug/examples/server`. By itself it
//! listens where it is told to.

use std::io;
use std::net::SocketAddr;
use std::process::id;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use clap::Parser;
use listenfd::ListenFd;
use tokio::net::TcpListener;
use tokio::time::sleep;

/// A web server that loses no request.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen when nobody supervises it.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// How many milliseconds clients have at the end to ask once more on the connections they have.
    /// With 0 all of them are closed at once.
    #[arg(long, default_value_t = 5_000)]
    drain_timeout: u64,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let app = Router::new()
        .route("/", get(hello))
        .route("/after/{milliseconds}", get(after));
    let listener = socket(arguments.listen)?;
    println!(
        "process {} answers on http://{}",
        id(),
        listener.local_addr()?
    );

    let drain_timeout = Duration::from_millis(arguments.drain_timeout);
    let server = tidings_supervisor::axum::serve(listener, app).drain_timeout(drain_timeout);
    tidings_supervisor::notify_ready()?;
    server.await
}

/// The one that all workers share; without a supervisor, one of its own.
fn socket(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = match ListenFd::from_env().take_tcp_listener(0)? {
        Some(socket) => socket,
        None => std::net::TcpListener::bind(at)?,
    };
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

async fn hello() -> String {
    format!("Hello from process {}.\n", id())
}

async fn after(Path(milliseconds): Path<u64>) -> String {
    sleep(Duration::from_millis(milliseconds)).await;
    hello().await
}
