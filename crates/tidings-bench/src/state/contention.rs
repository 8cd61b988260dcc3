//! Contention: ten processes make a thousand changes each to one value, with `Shared::update` and
//! with the loop of `WATCH`, `MULTI` and `EXEC` that one would write without it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use anyhow::ensure;
use redis::AsyncCommands;
use serde::{Deserialize, Serialize};
use tidings::Bus;
use tidings_testkit::Redis;

use super::barrier;
use super::task::Task;
use crate::process::print_result;
use crate::summary::Spread;

const PROCESSES: usize = 10;
const CHANGES: u64 = 1_000;

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(super) enum Method {
    Update,
    Watch,
}

impl Method {
    const ALL: [Self; 2] = [Self::Update, Self::Watch];

    fn name(self) -> &'static str {
        match self {
            Self::Update => "Shared::update",
            Self::Watch => "WATCH, MULTI, EXEC",
        }
    }
}

/// The result line of one process.
#[derive(Debug, Deserialize, Serialize)]
struct Changed {
    attempts: u64,
}

/// The result of all processes and rounds.
#[derive(Debug, Serialize)]
pub(super) struct Contention {
    method: &'static str,
    changes: u64,
    lost: u64,
    per_second: f64,
    attempts_per_change: f64,
}

impl Contention {
    pub(super) fn is_wrong(&self) -> bool {
        self.lost > 0
    }
}

struct Round {
    lost: u64,
    per_second: f64,
    attempts_per_change: f64,
}

pub(super) async fn measure(rounds: usize) -> anyhow::Result<Vec<Contention>> {
    let mut all = Method::ALL.map(|method| (method, Vec::new()));
    for round in 1..=rounds {
        for (method, rounds) in &mut all {
            eprintln!("contention, round {round}: {}", method.name());
            rounds.push(once(*method).await?);
        }
    }
    Ok(all.into_iter().map(summary).collect())
}

async fn once(method: Method) -> anyhow::Result<Round> {
    let redis = Redis::start().await;
    let mut processes = (0..PROCESSES)
        .map(|_| barrier::start(Task::Change, &redis.url(), &method))
        .collect::<Result<Vec<_>, _>>()?;
    barrier::all_ready(&mut processes).await?;
    let began = Instant::now();
    barrier::open(&redis.url(), PROCESSES).await?;
    let mut attempts = 0;
    for process in &mut processes {
        attempts += process.result::<Changed>().await?.attempts;
    }
    let seconds = began.elapsed().as_secs_f64();
    let changes = PROCESSES as u64 * CHANGES;
    Ok(Round {
        lost: changes - sum(method, &redis).await?,
        per_second: changes as f64 / seconds,
        attempts_per_change: attempts as f64 / changes as f64,
    })
}

/// Returns the value at the end.
async fn sum(method: Method, redis: &Redis) -> anyhow::Result<u64> {
    let mut connection = barrier::connect(&redis.url()).await?;
    Ok(match method {
        Method::Update => connection.hget(KEY_OF_UPDATE, "value").await?,
        Method::Watch => connection.get(KEY_OF_WATCH).await?,
    })
}

const NAME: &str = "sum";
const KEY_OF_UPDATE: &str = "tidings:{default}:shared:sum";
const KEY_OF_WATCH: &str = "sum";

fn summary((method, rounds): (Method, Vec<Round>)) -> Contention {
    let median = |figure: fn(&Round) -> f64| Spread::of(rounds.iter().map(figure)).median;
    Contention {
        method: method.name(),
        changes: PROCESSES as u64 * CHANGES,
        lost: rounds.iter().map(|round| round.lost).sum(),
        per_second: median(|round| round.per_second),
        attempts_per_change: median(|round| round.attempts_per_change),
    }
}

#[expect(clippy::print_stdout, reason = "this is the program's output")]
pub(super) fn show(methods: &[Contention]) {
    if methods.is_empty() {
        return;
    }
    println!("{PROCESSES} processes, {CHANGES} changes of one value in each, all at once\n");
    println!(
        "{:<20} {:>10} {:>9} {:>6}",
        "", "changes/s", "attempts", "lost"
    );
    for method in methods {
        let Contention {
            method,
            lost,
            per_second,
            attempts_per_change,
            ..
        } = method;
        println!("{method:<20} {per_second:>10.0} {attempts_per_change:>9.2} {lost:>6}");
    }
    println!();
}

/// Does the work of one process.
pub(super) async fn change(url: &str, method: Method) -> anyhow::Result<()> {
    let attempts = match method {
        Method::Update => update(url).await?,
        Method::Watch => watch(url).await?,
    };
    print_result(&Changed { attempts })
}

async fn update(url: &str) -> anyhow::Result<u64> {
    let bus = Bus::builder(url).start().await?;
    let sum = bus.shared::<u64>(NAME)?;
    sum.get().await?;
    barrier::wait(url).await?;
    let attempts = Arc::new(AtomicU64::new(0));
    let changes: Vec<_> = (0..CHANGES)
        .map(|_| {
            let (sum, attempts) = (sum.clone(), Arc::clone(&attempts));
            tokio::spawn(async move {
                let change = sum.update(move |old| {
                    attempts.fetch_add(1, Relaxed);
                    old.copied().unwrap_or(0) + 1
                });
                change.await.map(drop)
            })
        })
        .collect();
    for change in changes {
        change.await??;
    }
    Ok(attempts.load(Relaxed))
}

/// One connection can watch for one change at a time, so the changes run one after the other.
async fn watch(url: &str) -> anyhow::Result<u64> {
    let mut connection = barrier::connect(url).await?;
    barrier::wait(url).await?;
    let mut attempts = 0;
    for _ in 0..CHANGES {
        loop {
            attempts += 1;
            redis::cmd("WATCH")
                .arg(KEY_OF_WATCH)
                .exec_async(&mut connection)
                .await?;
            let old: Option<u64> = connection.get(KEY_OF_WATCH).await?;
            let mut write = redis::pipe();
            write.atomic().set(KEY_OF_WATCH, old.unwrap_or(0) + 1);
            let written: Option<(String,)> = write.query_async(&mut connection).await?;
            if written.is_some() {
                break;
            }
        }
    }
    ensure!(attempts >= CHANGES, "each change takes an attempt");
    Ok(attempts)
}
