//! An administrator changes the configuration in one process, and it takes effect in all of them.
//!
//! `cargo run --example config-reload` needs `redis-server`. It starts its own
//! server, and three processes that follow the configuration. An unreadable configuration changes
//! nothing.

use std::collections::BTreeSet;
use std::error::Error;
use std::process::id;
use std::time::Duration;

use tidings::EventStream;
use tidings::prelude::*;
use tidings_testkit::Redis;
use tokio::process::{Child, Command};
use tokio::time::timeout;

const PROCESSES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);

const KEY: &str = "tidings:{default}:shared:configuration";

/// The configuration of all processes.
#[tidings::shared("configuration")]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Configuration {
    greeting: String,
    per_minute: u32,
}

/// The configuration that is in force in one process.
#[derive(Debug, Serialize, Deserialize, Event)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[event("configuration.in-force")]
struct InForce {
    process: u32,
    version: u64,
    greeting: String,
    per_minute: u32,
    problem: Option<String>,
}

type Problem = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Problem> {
    match std::env::var("FOLLOW") {
        Err(_) => administrate().await,
        Ok(url) => timeout(PATIENCE, follow(&url)).await?,
    }
}

/// The administrator's process.
async fn administrate() -> Result<(), Problem> {
    let redis = Redis::start().await;
    let bus = Bus::builder(&redis.url()).start().await?;
    let mut in_force = bus.stream(InForce::EVENT)?;
    let configuration = bus.shared::<Configuration>("configuration")?;
    let first = Configuration {
        greeting: "Hello".to_owned(),
        per_minute: 60,
    };
    configuration.set(&first).await?;
    let _children = (0..PROCESSES)
        .map(|_| start(&redis.url()))
        .collect::<Result<Vec<_>, _>>()?;

    println!("The initial configuration:");
    everywhere(&mut in_force, |now| now.greeting == "Hello").await?;

    println!("\nThe administrator doubles the limit:");
    let twice = configuration.update(move |old| {
        let old = old.unwrap_or(&first);
        Configuration {
            per_minute: old.per_minute * 2,
            greeting: old.greeting.clone(),
        }
    });
    twice.await?;
    everywhere(&mut in_force, |now| now.per_minute == 120).await?;

    println!("\nA script writes an invalid configuration, and the old one stays in force:");
    write_by_hand(&redis, r#"{"greeting":"Hi","per_minute":"a lot"}"#).await;
    everywhere(&mut in_force, |now| {
        now.problem.is_some() && now.per_minute == 120
    })
    .await?;

    println!("\nThe script writes a valid configuration:");
    write_by_hand(&redis, r#"{"greeting":"Hi","per_minute":240}"#).await;
    everywhere(&mut in_force, |now| {
        now.problem.is_none() && now.per_minute == 240
    })
    .await?;
    println!("\nEach change took effect in {PROCESSES} processes.");
    Ok(())
}

fn start(url: &str) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .env("FOLLOW", url)
        .kill_on_drop(true)
        .spawn()
}

/// Prints each process's configuration, until all processes match.
async fn everywhere(
    in_force: &mut EventStream<InForce>,
    matches: impl Fn(&InForce) -> bool,
) -> Result<(), Problem> {
    let mut processes = BTreeSet::new();
    while processes.len() < PROCESSES {
        let now = timeout(PATIENCE, in_force.next()).await?;
        let now = now.ok_or("the bus has ended")?;
        if matches(&now) && processes.insert(now.process) {
            let InForce {
                process,
                version,
                greeting,
                per_minute,
                problem,
            } = now;
            let problem = problem.map_or(String::new(), |problem| format!("; {problem}"));
            println!("  {process}  version {version}: {greeting}, {per_minute} a minute{problem}");
        }
    }
    Ok(())
}

/// Writes the value as a program without tidings would.
async fn write_by_hand(redis: &Redis, value: &str) {
    let nonce = format!(
        "{:016x}",
        std::time::UNIX_EPOCH
            .elapsed()
            .map_or(0, |now| now.as_micros())
    );
    redis.command(&["HINCRBY", KEY, "version", "1"]).await;
    let words = [
        "HSET", KEY, "format", "json", "value", value, "nonce", &nonce,
    ];
    redis.command(&words).await;
    let notification = r#"{"event":"tidings.shared","data":{"key":"configuration"}}"#;
    redis
        .command(&["PUBLISH", "tidings:{default}", notification])
        .await;
}

/// Runs one of the processes: publishes its configuration after each change.
async fn follow(url: &str) -> Result<(), Problem> {
    let bus = Bus::builder(url).on_failure(|_| {}).start().await?;
    let configuration = bus.shared::<Configuration>("configuration")?;
    let mut changes = configuration.watch();
    while let Some(now) = changes.changed().await {
        let Some(Configuration {
            greeting,
            per_minute,
        }) = now.value().map(|value| &**value)
        else {
            continue;
        };
        let in_force = InForce {
            process: id(),
            version: now.version(),
            greeting: greeting.clone(),
            per_minute: *per_minute,
            problem: now
                .problem()
                .map(|problem| tidings::report(problem).to_string()),
        };
        bus.publish(&in_force).await?;
    }
    Ok(())
}
