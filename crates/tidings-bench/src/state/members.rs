//! What members cost that do nothing else: ten, a hundred and a thousand of them, in a few processes
//! on a real Redis. Twenty of the thousand are killed, and it is seen who notices what.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tidings::{Bus, Departure, MemberEvent, MemberEvents};
use tidings_testkit::Redis;
use tokio::time::{sleep, timeout_at};

use super::{Task, gate};
use crate::clock::cpu_ns_of;
use crate::process::Process;
use crate::say_ready;

/// The lease that members have by default.
const LEASE: Duration = Duration::from_secs(15);

/// How many there are, and how many of them are killed.
const SIZES: [(usize, usize); 3] = [(10, 0), (100, 0), (1_000, 20)];

/// The processes that they are in, beside the one that is killed.
const PROCESSES: usize = 3;

/// How many of a process start at once.
const TOGETHER: usize = 50;

/// After all have joined, until the cost is measured; and for how long.
const REST: Duration = Duration::from_secs(10);
const MEASURED: Duration = Duration::from_secs(30);

/// How long after the last lease somebody could still be taken for gone.
const AFTERWARDS: Duration = Duration::from_secs(20);

#[derive(Debug, Serialize)]
pub(super) struct Cost {
    members: usize,
    commands_per_second: f64,
    kib_in_per_second: f64,
    kib_out_per_second: f64,
    redis_percent: f64,
    /// Of all processes that the members are in.
    members_percent: f64,
    killed: usize,
    noticed: usize,
    wrongly: usize,
    first_noticed_s: Option<f64>,
    last_noticed_s: Option<f64>,
}

impl Cost {
    pub(super) fn is_wrong(&self) -> bool {
        self.noticed != self.killed || self.wrongly > 0
    }
}

pub(super) async fn measure() -> anyhow::Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for (members, killed) in SIZES {
        eprintln!("members: {members}");
        costs.push(once(members, killed).await?);
    }
    Ok(costs)
}

async fn once(members: usize, killed: usize) -> anyhow::Result<Cost> {
    let redis = Redis::builder().config("maxclients", "9000").start().await;
    let watching = Bus::builder(&redis.url())
        .without_membership()
        .start()
        .await?;
    let mut events = watching.watch_members();
    let mut processes = start(&redis, members, killed).await?;
    all_joined(&mut events, members).await?;
    sleep(REST).await;

    let (began, before) = (Instant::now(), Look::at(&redis, &processes).await?);
    sleep(MEASURED).await;
    let (seconds, after) = (
        began.elapsed().as_secs_f64(),
        Look::at(&redis, &processes).await?,
    );
    let per_second = |of: fn(&Look) -> u64| (of(&after) - of(&before)) as f64 / seconds;

    let mut gone = Gone::default();
    if killed > 0 {
        let mut victim = processes.pop().context("it was started last")?;
        victim.end().await?;
        gone = Gone::watch(&mut events).await;
    }
    Ok(Cost {
        members,
        commands_per_second: per_second(|look| look.commands),
        kib_in_per_second: per_second(|look| look.bytes_in) / 1024.0,
        kib_out_per_second: per_second(|look| look.bytes_out) / 1024.0,
        redis_percent: per_second(|look| look.redis_ns) / 1e7,
        members_percent: per_second(|look| look.members_ns) / 1e7,
        killed,
        noticed: gone.in_the_victim,
        wrongly: gone.elsewhere,
        first_noticed_s: gone.first.map(|time| time.as_secs_f64()),
        last_noticed_s: gone.last.map(|time| time.as_secs_f64()),
    })
}

/// What a process of members must know.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Crowd {
    role: String,
    members: usize,
}

const VICTIM: &str = "victim";

async fn start(redis: &Redis, members: usize, killed: usize) -> anyhow::Result<Vec<Process>> {
    let survivors = members - killed;
    let mut crowds: Vec<_> = (0..PROCESSES)
        .map(|index| Crowd {
            role: format!("crowd-{index}"),
            members: (survivors + index) / PROCESSES,
        })
        .collect();
    if killed > 0 {
        crowds.push(Crowd {
            role: VICTIM.to_owned(),
            members: killed,
        });
    }
    let mut processes = Vec::new();
    for crowd in crowds {
        processes.push(gate::start(Task::Be, &redis.url(), &crowd)?);
    }
    gate::all_ready(&mut processes).await?;
    Ok(processes)
}

async fn all_joined(events: &mut MemberEvents, members: usize) -> anyhow::Result<()> {
    let mut there = HashSet::new();
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    while there.len() < members {
        let event = timeout_at(deadline, events.next()).await;
        let event = event.with_context(|| format!("only {} joined", there.len()))?;
        match event.context("the bus has ended")? {
            MemberEvent::Joined(member) => there.insert(member.id),
            other => anyhow::bail!("nobody was to leave: {other:?}"),
        };
    }
    ensure!(there.len() == members, "one joined who was not started");
    Ok(())
}

/// Counters of Redis and of processors.
struct Look {
    commands: u64,
    bytes_in: u64,
    bytes_out: u64,
    redis_ns: u64,
    members_ns: u64,
}

impl Look {
    async fn at(redis: &Redis, processes: &[Process]) -> anyhow::Result<Self> {
        let stats = redis.cli(&["INFO", "stats"]).await;
        let stat = |name: &str| {
            let line = stats.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.trim_start_matches(':').trim().parse().ok());
            number.with_context(|| format!("INFO says nothing of {name}"))
        };
        let processes = processes.iter().filter_map(Process::id);
        Ok(Self {
            commands: stat("total_commands_processed")?,
            bytes_in: stat("total_net_input_bytes")?,
            bytes_out: stat("total_net_output_bytes")?,
            redis_ns: cpu_ns_of(redis.pid()),
            members_ns: processes.map(cpu_ns_of).sum(),
        })
    }
}

/// Who was taken for gone after the kill.
#[derive(Default)]
struct Gone {
    in_the_victim: usize,
    elsewhere: usize,
    first: Option<Duration>,
    last: Option<Duration>,
}

impl Gone {
    async fn watch(events: &mut MemberEvents) -> Self {
        let mut gone = Self::default();
        let killed = Instant::now();
        let until = tokio::time::Instant::now() + LEASE + AFTERWARDS;
        while let Ok(Some(event)) = timeout_at(until, events.next()).await {
            let MemberEvent::Left { member, why, .. } = event else {
                gone.elsewhere += 1;
                continue;
            };
            if member.role.as_deref() != Some(VICTIM) || why != Departure::Vanished {
                gone.elsewhere += 1;
                continue;
            }
            gone.in_the_victim += 1;
            gone.first.get_or_insert(killed.elapsed());
            gone.last = Some(killed.elapsed());
        }
        gone
    }
}

#[expect(clippy::print_stdout, reason = "this is the program's output")]
pub(super) fn show(costs: &[Cost]) {
    if costs.is_empty() {
        return;
    }
    println!("members that do nothing, each second\n");
    println!(
        "{:>8} {:>9} {:>8} {:>8} {:>8} {:>10}",
        "members", "commands", "KiB in", "KiB out", "Redis %", "members %"
    );
    for cost in costs {
        println!(
            "{:>8} {:>9.1} {:>8.1} {:>8.1} {:>8.2} {:>10.2}",
            cost.members,
            cost.commands_per_second,
            cost.kib_in_per_second,
            cost.kib_out_per_second,
            cost.redis_percent,
            cost.members_percent,
        );
    }
    for cost in costs.iter().filter(|cost| cost.killed > 0) {
        println!(
            "\n{} of {} were killed: {} noticed, after {:.1} to {:.1} s; {} others taken for gone",
            cost.killed,
            cost.members,
            cost.noticed,
            cost.first_noticed_s.unwrap_or(f64::NAN),
            cost.last_noticed_s.unwrap_or(f64::NAN),
            cost.wrongly,
        );
    }
}

/// One of the processes: so many members, until it is killed.
pub(super) async fn be(url: &str, crowd: Crowd) -> anyhow::Result<()> {
    let mut members = Vec::new();
    while members.len() < crowd.members {
        let together = TOGETHER.min(crowd.members - members.len());
        let starting: FuturesUnordered<_> = (0..together)
            .map(|_| Bus::builder(url).role(&crowd.role).lease(LEASE).start())
            .collect();
        let started: Vec<_> = starting.collect().await;
        for bus in started {
            members.push(bus?);
        }
    }
    say_ready();
    std::future::pending().await
}
