//! A web service of two replicas that cache users. An event drops a changed entry from both caches.
//!
//! `cargo run --example axum` sends itself a few requests and ends. With
//! `-- --serve` it keeps running.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{FromRef, Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tidings::prelude::{Bus, Deserialize, Event, Gap, Serialize};
use tidings::{SendError, StartError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

#[derive(Debug, Serialize, Deserialize, Event)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[event("user.changed")]
struct UserChanged {
    id: u64,
}

/// The state of the routes. A route extracts all of it, or only its `Bus` or `Database`.
#[derive(Clone)]
struct Replica {
    database: Database,
    cache: Cache,
    bus: Bus,
}

impl FromRef<Replica> for Bus {
    fn from_ref(replica: &Replica) -> Self {
        replica.bus.clone()
    }
}

impl FromRef<Replica> for Database {
    fn from_ref(replica: &Replica) -> Self {
        replica.database.clone()
    }
}

impl Replica {
    /// Starts a replica whose bus keeps its cache up to date.
    async fn start(database: Database) -> Result<Self, StartError> {
        let url = std::env::var("TIDINGS_URL").unwrap_or_else(|_| "memory:axum".to_owned());
        let cache = Cache::default();
        let bus = Bus::builder(&url)
            .namespace("axum-example")
            .state(cache.clone())
            .subscribe(forget)
            .on_gap(forget_all)
            .start()
            .await?;
        Ok(Self {
            database,
            cache,
            bus,
        })
    }
}

/// Drops the entry of a changed user.
async fn forget(changed: UserChanged, tidings::State(cache): tidings::State<Cache>) {
    cache.drop_entry(changed.id);
}

/// Drops all entries when events may have been missed.
async fn forget_all(_: Gap, tidings::State(cache): tidings::State<Cache>) {
    cache.clear();
}

fn router(replica: Replica) -> Router {
    Router::new()
        .route("/users/{id}", get(read).put(write))
        .route("/ready", get(ready))
        .with_state(replica)
}

/// A user, and the source of this response.
#[derive(Serialize)]
struct Answer {
    name: String,
    from: &'static str,
}

async fn read(
    Path(id): Path<u64>,
    State(replica): State<Replica>,
) -> Result<Json<Answer>, StatusCode> {
    let Replica {
        database,
        cache,
        bus,
    } = replica;
    // While the bus is disconnected, entries may be out of date: read from the slower database.
    if let Some(name) = cache.get(id).filter(|_| bus.is_ready()) {
        return Ok(Json(Answer {
            name,
            from: "cache",
        }));
    }
    // If the user changes during the read, the result is out of date and is not cached.
    let generation = cache.generation();
    let name = database.read(id).await.ok_or(StatusCode::NOT_FOUND)?;
    cache.insert(id, &name, generation);
    Ok(Json(Answer {
        name,
        from: "database",
    }))
}

async fn write(
    Path(id): Path<u64>,
    State(database): State<Database>,
    State(bus): State<Bus>,
    name: String,
) -> Result<StatusCode, (StatusCode, String)> {
    // Write the database first, then publish the event.
    database.write(id, name).await;
    bus.publish(&UserChanged { id })
        .await
        .map_err(|error: SendError| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Answers a readiness probe. A replica is ready once it has started, even while Redis is
/// unreachable: a failing probe would take all replicas out of service at once, although the
/// database can answer. `degraded` tells alerts that the bus is disconnected.
async fn ready(State(bus): State<Bus>) -> Json<Value> {
    Json(json!({ "ready": true, "degraded": !bus.is_ready() }))
}

/// The cached users of one replica.
#[derive(Clone, Default)]
struct Cache(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    names: HashMap<u64, String>,
    /// Counts invalidations.
    generation: u64,
}

impl Cache {
    fn get(&self, id: u64) -> Option<String> {
        self.lock().names.get(&id).cloned()
    }

    fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Stores a name, unless an entry was dropped since `generation`.
    fn insert(&self, id: u64, name: &str, generation: u64) {
        let mut entries = self.lock();
        if entries.generation == generation {
            entries.names.insert(id, name.to_owned());
        }
    }

    fn drop_entry(&self, id: u64) {
        let mut entries = self.lock();
        entries.names.remove(&id);
        entries.generation += 1;
    }

    fn clear(&self) {
        let mut entries = self.lock();
        entries.names.clear();
        entries.generation += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The database of both replicas; in a real service, on another machine.
#[derive(Clone, Default)]
struct Database(Arc<tokio::sync::Mutex<HashMap<u64, String>>>);

impl Database {
    async fn read(&self, id: u64) -> Option<String> {
        self.0.lock().await.get(&id).cloned()
    }

    async fn write(&self, id: u64, name: String) {
        self.0.lock().await.insert(id, name);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = Database::default();
    database.write(7, "Ada".to_owned()).await;
    let a = replica(&database).await?;
    let b = replica(&database).await?;
    println!("Two replicas: A at http://{a}, B at http://{b}.\n");

    show("B", b, "GET /users/7", "").await?;
    show("B", b, "GET /users/7", "").await?;
    show("A", a, "PUT /users/7", "Grace").await?;
    // B drops its entry when it receives the event, which may take a moment.
    let is_updated = timeout(Duration::from_secs(5), async {
        while show("B", b, "GET /users/7", "").await?.contains("Ada") {
            sleep(Duration::from_millis(1)).await;
        }
        std::io::Result::Ok(())
    });
    is_updated.await??;
    show("B", b, "GET /ready", "").await?;

    if std::env::args().any(|argument| argument == "--serve") {
        println!("\nTry: curl -X PUT -d Lin http://{a}/users/7; curl http://{b}/users/7");
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Starts a replica on a free port.
async fn replica(database: &Database) -> Result<SocketAddr, Box<dyn Error>> {
    let replica = Replica::start(database.clone()).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router(replica)).await });
    Ok(address)
}

async fn show(name: &str, at: SocketAddr, request: &str, body: &str) -> std::io::Result<String> {
    let (status, answer) = ask(at, request, body).await?;
    println!("{name}  {request:<13} {body:<6} {status}  {answer}");
    Ok(answer)
}

/// A minimal HTTP client.
async fn ask(at: SocketAddr, request: &str, body: &str) -> std::io::Result<(String, String)> {
    let mut stream = TcpStream::connect(at).await?;
    let length = body.len();
    let request = format!(
        "{request} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).unwrap_or_default();
    Ok((status.to_owned(), body.to_owned()))
}
