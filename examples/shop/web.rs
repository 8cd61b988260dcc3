//! A web service with the prices of the shop, which every replica caches.

// ANCHOR: file
// ANCHOR: use
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use listenfd::ListenFd;
use tidings::prelude::Bus;
use tidings::{MapOptions, SharedMap};
use tokio::net::TcpListener;
// ANCHOR_END: use

// ANCHOR: routes
#[derive(Clone)]
struct Shop {
    bus: Bus,
    prices: SharedMap<String, u32>,
}

async fn show(State(shop): State<Shop>, Path(item): Path<String>) -> Result<String, StatusCode> {
    let found = shop
        .prices
        .get_or_load_optional(&item, || async { read(&item) });
    let cents = found.await.map_err(failed)?.ok_or(StatusCode::NOT_FOUND)?;
    Ok(format!("{item} cost {cents}\n"))
}

async fn set(
    State(shop): State<Shop>,
    Path(item): Path<String>,
    cents: String,
) -> Result<(), StatusCode> {
    let cents = cents.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    write(&item, cents).map_err(failed)?; // the database first
    shop.prices.invalidate(&item).await.map_err(failed)
}

async fn ready(State(shop): State<Shop>) -> String {
    let degraded = !shop.bus.is_ready();
    let waiting = shop.prices.pending_invalidations() != Some(0);
    format!("ready, degraded: {degraded}, invalidations waiting: {waiting}\n")
}

fn failed(error: impl Error) -> StatusCode {
    eprintln!("{}", tidings::report(&error));
    StatusCode::INTERNAL_SERVER_ERROR
}
// ANCHOR_END: routes

// ANCHOR: database
/// The file `prices.txt` stands for the database.
fn database() -> io::Result<BTreeMap<String, u32>> {
    let text = std::fs::read_to_string("prices.txt")?;
    let lines = text.lines().filter_map(|line| line.split_once(" cost "));
    let price = |(item, cents): (&str, &str)| Some((item.to_owned(), cents.parse().ok()?));
    Ok(lines.filter_map(price).collect())
}

fn read(item: &str) -> io::Result<Option<u32>> {
    println!("reading {item} from the database");
    Ok(database()?.get(item).copied())
}

fn write(item: &str, cents: u32) -> io::Result<()> {
    let mut prices = database()?;
    prices.insert(item.to_owned(), cents);
    let line = |(item, cents)| format!("{item} cost {cents}\n");
    std::fs::write("prices.txt", prices.iter().map(line).collect::<String>())
}
// ANCHOR_END: database

// ANCHOR: main
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Bus::from_env().role("web").start().await?;
    let options = MapOptions::new().ttl(Duration::from_mins(1));
    let prices = bus.map_with("prices", options)?;
    let app = Router::new()
        .route("/prices/{item}", get(show).put(set))
        .route("/ready", get(ready))
        .with_state(Shop {
            bus: bus.clone(),
            prices,
        });

    let listener = listener().await?;
    let server = tidings_supervisor::axum::serve(listener, app);
    tidings_supervisor::notify_ready()?;
    println!("open");
    server.await?; // returns after SIGTERM and the drain
    bus.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

/// Returns the socket of the supervisor, or one at the address in the arguments.
async fn listener() -> io::Result<TcpListener> {
    if let Some(socket) = ListenFd::from_env().take_tcp_listener(0)? {
        socket.set_nonblocking(true)?;
        return TcpListener::from_std(socket);
    }
    let address = std::env::args().nth(1);
    TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080")).await
}
// ANCHOR_END: main
// ANCHOR_END: file

pub(super) fn run() -> super::Done {
    main()
}
