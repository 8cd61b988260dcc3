//! A web service of two replicas: each caches users, and drops an entry on the other's word.
//!
//! `cargo run --example axum` asks itself a few things and ends; with `-- --serve` it stays.

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
#[event("user.changed")]
struct UserChanged {
    id: u64,
}

/// What the routes may ask for: all of it, or `State<Bus>` alone.
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
    /// A replica whose bus keeps its cache true.
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

/// One entry goes when its user changed …
async fn forget(changed: UserChanged, tidings::State(cache): tidings::State<Cache>) {
    cache.drop_entry(changed.id);
}

/// … and all of them when something may have been missed.
async fn forget_all(_: Gap, tidings::State(cache): tidings::State<Cache>) {
    cache.clear();
}

fn router(replica: Replica) -> Router {
    Router::new()
        .route("/users/{id}", get(read).put(write))
        .route("/ready", get(ready))
        .with_state(replica)
}

/// A user, and where this answer comes from.
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
    // While the bus is disconnected an entry may be old: then the database answers, which is slower.
    if let Some(name) = cache.get(id).filter(|_| bus.ready()) {
        return Ok(Json(Answer {
            name,
            from: "cache",
        }));
    }
    // What is read now may be old by the time it is kept, if the user changes in between.
    let age = cache.age();
    let name = database.read(id).await.ok_or(StatusCode::NOT_FOUND)?;
    cache.keep(id, &name, age);
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
    // First the truth, then the word of it.
    database.write(id, name).await;
    bus.publish(&UserChanged { id })
        .await
        .map_err(|error: SendError| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(StatusCode::NO_CONTENT)
}

/// For a readiness probe: a replica is ready from its start on, also while Redis is unreachable. A probe
/// that failed then would take all replicas out of service at once, although the database can answer.
/// That the bus is disconnected is a flag, for an alarm.
async fn ready(State(bus): State<Bus>) -> Json<Value> {
    Json(json!({ "ready": true, "degraded": !bus.ready() }))
}

/// The users as one replica remembers them.
#[derive(Clone, Default)]
struct Cache(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    names: HashMap<u64, String>,
    /// How often something was dropped.
    age: u64,
}

impl Cache {
    fn get(&self, id: u64) -> Option<String> {
        self.lock().names.get(&id).cloned()
    }

    fn age(&self) -> u64 {
        self.lock().age
    }

    /// Keeps a name, unless something was dropped since `age`.
    fn keep(&self, id: u64, name: &str, age: u64) {
        let mut entries = self.lock();
        if entries.age == age {
            entries.names.insert(id, name.to_owned());
        }
    }

    fn drop_entry(&self, id: u64) {
        let mut entries = self.lock();
        entries.names.remove(&id);
        entries.age += 1;
    }

    fn clear(&self) {
        let mut entries = self.lock();
        entries.names.clear();
        entries.age += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What both replicas share; in life, a database on another machine.
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
    // B drops its entry when it hears the word: that takes a moment, and may be over by now.
    let is_new = timeout(Duration::from_secs(5), async {
        while show("B", b, "GET /users/7", "").await?.contains("Ada") {
            sleep(Duration::from_millis(1)).await;
        }
        std::io::Result::Ok(())
    });
    is_new.await??;
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

/// A whole HTTP client, for as long as nobody asks for more.
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
