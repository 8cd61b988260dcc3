//! Three nodes tell each other what happened: by name, by type, to all, to others, to one.
//!
//! `cargo run --example quickstart` meets in memory. With `TIDINGS_URL=redis://127.0.0.1` it runs
//! on that Redis.

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

/// A closed set of events: one handler, and the compiler says when it forgets one.
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

async fn account(event: Account, State(heard): State<Heard>) {
    heard.note(match event {
        Account::Renamed(UserRenamed { id, name }) => format!("user {id} is called {name} now"),
        Account::Deleted { id } => format!("user {id} is gone"),
        Account::Reloaded => "all users may have changed".to_owned(),
    });
}

async fn clear(key: String, State(heard): State<Heard>) {
    heard.note(format!("drops `{key}` from its cache"));
}

async fn miss(gap: Gap, State(heard): State<Heard>) {
    heard.note(format!("has a gap: {gap}"));
}

async fn count(order: u64, State(heard): State<Heard>) {
    let before = heard.in_order.fetch_add(1, Relaxed);
    if order != before + 1 {
        heard.note(format!("order {order} came after order {before}"));
    } else if order == 1_000 {
        heard.note("orders 1 to 1,000, each once, in order".to_owned());
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

    title("web", "sends `cache.clear`, a name, to the others");
    web.send_to_others("cache.clear", "user:7").await?;
    show(&mut story, 2).await?;

    title("job", "sends `user.deleted`, a variant, to api alone");
    job.send_to(api.id(), Account::EVENT, &Account::Deleted { id: 7 })
        .await?;
    show(&mut story, 1).await?;

    title("web", "sends `cache.clear` with 42 instead of a text");
    web.send_to_all("cache.clear", &42).await?;
    show(&mut story, 3).await?;

    title(
        "a stranger",
        "puts a frame on the channel that nobody can read",
    );
    publish_as_stranger(&url, &namespace(), "{\"v\":1,\"events\":[[[[").await?;
    show(&mut story, 3).await?;

    title("web", "publishes `users.reloaded`: nobody was harmed");
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
        let (heard, missed) = (health.heard, health.missed + health.overflowed);
        println!("{} heard {heard} events and missed {missed}", painted(name));
        bus.shutdown(Duration::from_secs(5)).await?;
    }
    Ok(())
}

/// Starts a node that writes down all that it hears.
async fn node(
    url: &str,
    name: &'static str,
    notes: &UnboundedSender<Note>,
) -> Result<Bus, Box<dyn Error>> {
    let heard = Heard {
        name,
        in_order: Arc::default(),
        notes: notes.clone(),
    };
    let failed = heard.clone();
    let bus = Bus::builder(url)
        .namespace(&namespace())
        .state(heard)
        .subscribe(account)
        .on("cache.clear", clear)
        .on("order.placed", count)
        .on_failure(move |failure| failed.note(complaint(&failure)))
        .on_gap(miss)
        .start()
        .await?;
    Ok(bus)
}

/// What is wrong with a bad event or frame. The next one is handled.
fn complaint(failure: &Failure) -> String {
    match failure {
        Failure::Payload { event, source, .. } => {
            let reason = source.source().map(ToString::to_string);
            format!("cannot take this `{event}`: {}", reason.unwrap_or_default())
        }
        other => tidings::report(other).to_string(),
    }
}

/// Whoever runs this beside others on one Redis is not disturbed by them.
fn namespace() -> String {
    format!("quickstart-{}", std::process::id())
}

/// Sends a frame by hand, as a program could that is no node.
async fn publish_as_stranger(
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

/// What a node heard.
type Note = (&'static str, String);

#[derive(Clone)]
struct Heard {
    name: &'static str,
    in_order: Arc<AtomicU64>,
    notes: UnboundedSender<Note>,
}

impl Heard {
    fn note(&self, what: String) {
        // Nobody reads on after an error ended the story.
        let _ = self.notes.send((self.name, what));
    }
}

/// Waits until `count` things were heard, and prints them by node.
async fn show(story: &mut UnboundedReceiver<Note>, count: usize) -> Result<(), Box<dyn Error>> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let note = timeout(Duration::from_secs(5), story.recv()).await?;
        heard.extend(note);
    }
    heard.sort_by_key(|(node, _)| ["api", "web", "job"].iter().position(|name| name == node));
    for (node, what) in heard {
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
