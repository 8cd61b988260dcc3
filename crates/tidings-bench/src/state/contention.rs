//! Ten processes change one value, a thousand changes each, all at once: with `Shared::update`, and
//! with the plain loop of `WATCH`, `MULTI` and `EXEC` that one would write without it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use anyhow::ensure;
use redis::AsyncCommands;
use serde::{Deserialize, Serialize};
use tidings::Bus;
use tidings_testkit::Redis;

use super::{Task, gate, median};
use crate::print;

const PROCESSES: usize = 10;
const CHANGES: u64 = 1_000;

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(super) enum Way {
    Update,
    Watch,
}

impl Way {
    const ALL: [Self; 2] = [Self::Update, Self::Watch];

    fn name(self) -> &'static str {
        match self {
            Self::Update => "Shared::update",
            Self::Watch => "WATCH, MULTI, EXEC",
        }
    }
}

/// What one process did.
#[derive(Debug, Deserialize, Serialize)]
struct Changed {
    attempts: u64,
}

/// What all of them did, of all rounds.
#[derive(Debug, Serialize)]
pub(super) struct Contention {
    way: &'static str,
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
    let mut all = Way::ALL.map(|way| (way, Vec::new()));
    for round in 1..=rounds {
        for (way, rounds) in &mut all {
            eprintln!("contention, round {round}: {}", way.name());
            rounds.push(once(*way).await?);
        }
    }
    Ok(all.into_iter().map(summary).collect())
}

async fn once(way: Way) -> anyhow::Result<Round> {
    let redis = Redis::start().await;
    let mut processes = (0..PROCESSES)
        .map(|_| gate::start(Task::Change, &redis.url(), &way))
        .collect::<Result<Vec<_>, _>>()?;
    gate::all_ready(&mut processes).await?;
    let began = Instant::now();
    gate::open(&redis.url(), PROCESSES).await?;
    let mut attempts = 0;
    for process in &mut processes {
        attempts += process.result::<Changed>().await?.attempts;
    }
    let seconds = began.elapsed().as_secs_f64();
    let changes = PROCESSES as u64 * CHANGES;
    Ok(Round {
        lost: changes - sum(way, &redis).await?,
        per_second: changes as f64 / seconds,
        attempts_per_change: attempts as f64 / changes as f64,
    })
}

/// What the value is in the end.
async fn sum(way: Way, redis: &Redis) -> anyhow::Result<u64> {
    let mut connection = gate::connect(&redis.url()).await?;
    Ok(match way {
        Way::Update => connection.hget(KEY_OF_UPDATE, "value").await?,
        Way::Watch => connection.get(KEY_OF_WATCH).await?,
    })
}

const NAME: &str = "sum";
const KEY_OF_UPDATE: &str = "tidings:{default}:shared:sum";
const KEY_OF_WATCH: &str = "sum";

fn summary((way, rounds): (Way, Vec<Round>)) -> Contention {
    Contention {
        way: way.name(),
        changes: PROCESSES as u64 * CHANGES,
        lost: rounds.iter().map(|round| round.lost).sum(),
        per_second: median(rounds.iter().map(|round| round.per_second).collect()),
        attempts_per_change: median(
            rounds
                .iter()
                .map(|round| round.attempts_per_change)
                .collect(),
        ),
    }
}

#[expect(clippy::print_stdout, reason = "this is the program's output")]
pub(super) fn show(ways: &[Contention]) {
    if ways.is_empty() {
        return;
    }
    println!("{PROCESSES} processes, {CHANGES} changes of one value in each, all at once\n");
    println!(
        "{:<20} {:>10} {:>9} {:>6}",
        "", "changes/s", "attempts", "lost"
    );
    for way in ways {
        let Contention {
            way,
            lost,
            per_second,
            attempts_per_change,
            ..
        } = way;
        println!("{way:<20} {per_second:>10.0} {attempts_per_change:>9.2} {lost:>6}");
    }
    println!();
}

/// One of the processes.
pub(super) async fn change(url: &str, way: Way) -> anyhow::Result<()> {
    let attempts = match way {
        Way::Update => update(url).await?,
        Way::Watch => watch(url).await?,
    };
    print(&Changed { attempts })
}

async fn update(url: &str) -> anyhow::Result<u64> {
    let bus = Bus::builder(url).start().await?;
    let sum = bus.shared::<u64>(NAME)?;
    sum.get().await?;
    gate::wait(url).await?;
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

/// One connection can watch for one change at a time: they take turns, as those of `update` do.
async fn watch(url: &str) -> anyhow::Result<u64> {
    let mut connection = gate::connect(url).await?;
    gate::wait(url).await?;
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
