//! A service as systemd, a container or `tidings run` starts it: it takes its socket from them, says
//! that it is ready and alive, and stops on SIGTERM.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use listenfd::ListenFd;
use serde_json::{Value, json};
use tidings::Bus;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // From here on, and so while the bus waits for Redis, too.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut builder = Bus::from_env().namespace("shop");
    if let Some(file) = std::env::var_os("TIDINGS_PASSWORD_FILE") {
        builder = builder.password_file(file);
    }
    let bus = tokio::select! {
        bus = builder.start() => bus?,
        _ = terminate.recv() => return Ok(()),
    };
    let app = Router::new()
        .route("/live", get(async || "alive"))
        .route("/ready", get(ready))
        .with_state(bus.clone())
        .into_make_service_with_connect_info::<SocketAddr>();
    let server = tidings_supervisor::axum::serve(socket().await?, app)
        .with_graceful_shutdown(async move { _ = terminate.recv().await });
    tokio::spawn(notify_watchdog());
    tidings_supervisor::notify_ready()?;
    server.await?; // until SIGTERM, and then until all requests are answered
    bus.shutdown(Duration::from_secs(10)).await?;
    Ok(())
}

/// Returns the socket that systemd or `tidings run` opened, or opens the one of `BIND`.
async fn socket() -> std::io::Result<TcpListener> {
    if let Some(socket) = ListenFd::from_env().take_tcp_listener(0)? {
        socket.set_nonblocking(true)?;
        return TcpListener::from_std(socket);
    }
    let bind = std::env::var("BIND").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    TcpListener::bind(bind).await
}

/// Tells systemd or `tidings run` that the tasks of this process still run.
async fn notify_watchdog() -> std::io::Result<()> {
    let mut ticks = interval(Duration::from_secs(5));
    loop {
        ticks.tick().await;
        tidings_supervisor::notify_watchdog()?;
    }
}

async fn ready(State(bus): State<Bus>) -> Json<Value> {
    Json(json!({ "ready": true, "degraded": !bus.is_ready() }))
}
