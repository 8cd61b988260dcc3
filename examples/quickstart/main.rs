//! Three nodes exchange events: by name, by type, to all, to the others, to one.
//!
//! `cargo run --example quickstart` connects them in memory. With `TIDINGS_URL=redis://127.0.0.1`
//! it runs on that Redis.

use std::error::Error;
use std::fmt::Display;
use std::io::{IsTerminal, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tidings::prelude::*;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

#[derive(Debug, Serialize, Deserialize, Event)]
#[event("user.renamed")]
struct UserRenamed {
    id: u64,
    name: String,
}

/// A closed set of events for one handler. A missing `match` arm is a compile error.
#[derive(Debug, Event)]
enum Account {
    Renamed(UserRenamed),
    #[event("user.deleted")]
    Deleted {
        id: u64,
    },
    #[event("users.reloaded")]
    Reloaded,
}

async fn account(event: Account, State(notes): State<Notes>) {
    notes.note(match event {
        Account::Renamed(UserRenamed { id, name }) => format!("user {id} is now called {name}"),
        Account::Deleted { id } => format!("user {id} was deleted"),
        Account::Reloaded => "all users were reloaded".to_owned(),
    });
}

async fn clear(key: String, State(notes): State<Notes>) {
    notes.note(format!("drops `{key}` from its cache"));
}

async fn miss(gap: Gap, State(notes): State<Notes>) {
    notes.note(format!("has a gap: {gap}"));
}

async fn count(order: u64, State(notes): State<Notes>) {
    let before = notes.in_order.fetch_add(1, Relaxed);
    if order != before + 1 {
        notes.note(format!("order {order} came after order {before}"));
    } else if order == 1_000 {
        notes.note("orders 1 to 1,000, each once, in order".to_owned());
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("TIDINGS_URL").unwrap_or_else(|_| "memory:quickstart".to_owned());
    let (notes, mut story) = unbounded_channel();
    let api = node(&url, "api", &notes).await?;
    let web = node(&url, "web", &notes).await?;
    let job = node(&url, "job", &notes).await?;
    println!("Three nodes on {}: api, web, job.", api.health().address);

    title("api", "publishes `user.renamed`, a struct, to all");
    let name = "Ada".to_owned();
    api.publish(&UserRenamed { id: 7, name }).await?;
    show(&mut story, 3).await?;

    title("web", "sends `cache.clear`, by name, to the others");
    web.send_to_others("cache.clear", "user:7").await?;
    show(&mut story, 2).await?;

    title("job", "sends `user.deleted`, a variant, to api only");
    job.send_to(api.id(), Account::EVENT, &Account::Deleted { id: 7 })
        .await?;
    show(&mut story, 1).await?;

    title("web", "sends `cache.clear` with 42 instead of a string");
    web.send_to_all("cache.clear", &42).await?;
    show(&mut story, 3).await?;

    title("a foreign program", "publishes a malformed frame");
    publish_foreign(&url, &namespace(), "{\"v\":1,\"events\":[[[[").await?;
    show(&mut story, 3).await?;

    title(
        "web",
        "publishes `users.reloaded`, which all nodes still receive",
    );
    web.publish(&Account::Reloaded).await?;
    show(&mut story, 3).await?;

    title("job", "feeds 1,000 events without waiting for each");
    for order in 1..=1_000_u64 {
        job.feed("order.placed", &order).await?;
    }
    job.flush().await?;
    show(&mut story, 3).await?;

    println!();
    for (name, bus) in [("api", api), ("web", web), ("job", job)] {
        let health = bus.health();
        let (received, missed) = (health.received, health.missed + health.dropped);
        println!(
            "{} received {received} events and missed {missed}",
            painted(name)
        );
        bus.shutdown(Duration::from_secs(5)).await?;
    }
    Ok(())
}

/// Starts a node that notes every event it receives.
async fn node(
    url: &str,
    name: &'static str,
    notes: &UnboundedSender<Note>,
) -> Result<Bus, Box<dyn Error>> {
    let state = Notes {
        name,
        in_order: Arc::default(),
        sender: notes.clone(),
    };
    let failures = state.clone();
    let bus = Bus::builder(url)
        .namespace(&namespace())
        .state(state)
        .subscribe(account)
        .on("cache.clear", clear)
        .on("order.placed", count)
        .on_failure(move |failure| failures.note(describe(&failure)))
        .on_gap(miss)
        .start()
        .await?;
    Ok(bus)
}

/// Describes a failure. The next event is handled nevertheless.
fn describe(failure: &Failure) -> String {
    match failure {
        Failure::Payload { event, source, .. } => {
            let reason = source.source().map(ToString::to_string);
            format!("cannot take this `{event}`: {}", reason.unwrap_or_default())
        }
        other => tidings::report(other).to_string(),
    }
}

/// Returns a namespace of this process, so that several can run on one Redis.
fn namespace() -> String {
    format!("quickstart-{}", std::process::id())
}

/// Publishes a frame as a program without tidings would.
async fn publish_foreign(
    url: &str,
    namespace: &str,
    frame: &'static str,
) -> Result<(), Box<dyn Error>> {
    if let Some(name) = url.strip_prefix("memory:") {
        tidings::memory::publish(name, namespace, frame).await;
        return Ok(());
    }
    let mut redis = redis::Client::open(url)?
        .get_multiplexed_async_connection()
        .await?;
    let channel = format!("tidings:{{{namespace}}}");
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(channel).arg(frame);
    Ok(publish.exec_async(&mut redis).await?)
}

/// A node, and what it received.
type Note = (&'static str, String);

#[derive(Clone)]
struct Notes {
    name: &'static str,
    in_order: Arc<AtomicU64>,
    sender: UnboundedSender<Note>,
}

impl Notes {
    fn note(&self, what: String) {
        // The receiver is gone if an error ended `main`.
        let _ = self.sender.send((self.name, what));
    }
}

/// Waits for `count` notes, and prints them by node.
async fn show(story: &mut UnboundedReceiver<Note>, count: usize) -> Result<(), Box<dyn Error>> {
    let mut notes = Vec::new();
    while notes.len() < count {
        let note = timeout(Duration::from_secs(5), story.recv()).await?;
        notes.extend(note);
    }
    notes.sort_by_key(|(node, _)| ["api", "web", "job"].iter().position(|name| name == node));
    for (node, what) in notes {
        println!("    {} {what}", painted(node));
    }
    Ok(())
}

fn title(node: &str, what: &str) {
    println!("\n{} {what}", painted(node));
}

fn painted(node: &str) -> impl Display {
    let colour = match node {
        "api" => 36,
        "web" => 33,
        _ => 35,
    };
    if stdout().is_terminal() {
        format!("\x1b[1;{colour}m{node}\x1b[0m")
    } else {
        node.to_owned()
    }
}
