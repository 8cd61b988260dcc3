//! A web server as a worker: it inherits its socket, notifies its readiness, and drains its connections.
//!
//! `tidings run --workers 4 --listen 127.0.0.1:9999 -- target/debug/examples/server` runs it. Without a
//! supervisor it listens on `--listen`.

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

/// A web server that loses no request in a reload.
#[derive(Debug, Parser)]
struct Arguments {
    /// The address to listen on without a supervisor.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// The milliseconds in which clients can send one more request on open connections at the end. 0
    /// closes idle connections at once.
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
        "process {} listens on http://{}",
        id(),
        listener.local_addr()?
    );

    let drain_timeout = Duration::from_millis(arguments.drain_timeout);
    let server = tidings_supervisor::axum::serve(listener, app).drain_timeout(drain_timeout);
    tidings_supervisor::notify_ready()?;
    server.await
}

/// Returns the inherited socket, or without a supervisor a new one.
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
