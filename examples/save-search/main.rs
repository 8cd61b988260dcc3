//! A web service that saves and finds values. Its instances share them in Redis, and each has a
//! cache that every change invalidates.
//!
//! ```text
//! cargo run --example save-search
//! REDIS_CLUSTER_URLS=10.0.0.1:6379,10.0.0.2:6379 cargo run --example save-search
//! TIDINGS_URL=redis://127.0.0.1 cargo run --example save-search
//! ```
//!
//! Without an address, values live in this process only. `BIND` is the address to listen on, by
//! default 127.0.0.1:4000; `INSTANCE` the name that the page shows; `TTL` the seconds for which a
//! value is kept, by default a day. `save-search --check` asks a running service for its health.

mod page;
mod service;
mod settings;

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use tidings::Bus;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::service::{Service, router};
use crate::settings::Settings;

/// A request waits for Redis no longer, also when a node of a cluster has just died.
const ANSWERS_WITHIN: Duration = Duration::from_millis(800);

const CHECKS_WITHIN: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_env()?;
    if std::env::args().nth(1).as_deref() == Some("--check") {
        return check(settings.bind).await;
    }
    let bus = Bus::builder(&settings.url)
        .namespace("save-search")
        .name(&settings.instance)
        .send_timeout(ANSWERS_WITHIN)
        .start()
        .await?;
    let listener = TcpListener::bind(settings.bind).await?;
    let address = listener.local_addr()?;
    println!(
        "{} serves http://{address}, {}",
        settings.instance,
        bus.health().address
    );
    let service = Service::new(bus.clone(), settings)?;
    axum::serve(listener, router(service))
        .with_graceful_shutdown(stop())
        .await?;
    bus.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

/// Waits for a Ctrl-C or a `docker stop`.
async fn stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Asks the service on this machine for its health, as the health check of a container.
async fn check(bind: SocketAddr) -> Result<(), Box<dyn Error>> {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", bind.port())).await?;
        let request = b"GET /healthz HTTP/1.0\r\n\r\n";
        stream.write_all(request).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(CHECKS_WITHIN, ask).await??;
    match answer.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(format!("the service on port {} is not healthy", bind.port()).into()),
    }
}
