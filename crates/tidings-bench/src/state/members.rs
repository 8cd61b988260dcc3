//! The cost of idle members: ten, a hundred and a thousand of them, in a few processes. Twenty of
//! the thousand are killed, and the time until each is reported is measured.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tidings::{Bus, LeaveReason, MemberEvent, MemberWatch};
use tidings_testkit::Redis;
use tokio::time::{sleep, timeout_at};

use super::barrier;
use super::task::Task;
use crate::clock::cpu_ns_of;
use crate::process::{Process, print_ready};

/// The default lease.
const LEASE: Duration = Duration::from_secs(15);

/// The number of members, and the number of them that are killed.
const SIZES: [(usize, usize); 3] = [(10, 0), (100, 0), (1_000, 20)];

/// The processes of the members, without the one that is killed.
const PROCESSES: usize = 3;

/// The members that a process starts at once.
const AT_ONCE: usize = 50;

/// The pause after the last join, and the time of the measurement.
const SETTLE: Duration = Duration::from_secs(10);
const MEASURED: Duration = Duration::from_secs(30);

/// The time after the last lease in which a wrong report could still come.
const AFTERWARDS: Duration = Duration::from_secs(20);

#[derive(Debug, Serialize)]
pub(super) struct Cost {
    members: usize,
    commands_per_second: f64,
    kib_in_per_second: f64,
    kib_out_per_second: f64,
    redis_percent: f64,
    /// Processor time of all processes of the members.
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
    let watching = Bus::builder(&redis.url()).membership(false).start().await?;
    let mut events = watching.watch_members();
    let mut processes = start(&redis, members, killed).await?;
    all_joined(&mut events, members).await?;
    sleep(SETTLE).await;

    let (began, before) = (Instant::now(), Counters::at(&redis, &processes).await?);
    sleep(MEASURED).await;
    let (seconds, after) = (
        began.elapsed().as_secs_f64(),
        Counters::at(&redis, &processes).await?,
    );
    let per_second = |of: fn(&Counters) -> u64| (of(&after) - of(&before)) as f64 / seconds;

    let mut reported = Reported::default();
    if killed > 0 {
        let mut victim = processes.pop().context("the victim was started last")?;
        victim.end().await?;
        reported = Reported::watch(&mut events).await;
    }
    Ok(Cost {
        members,
        commands_per_second: per_second(|counters| counters.commands),
        kib_in_per_second: per_second(|counters| counters.bytes_in) / 1024.0,
        kib_out_per_second: per_second(|counters| counters.bytes_out) / 1024.0,
        redis_percent: per_second(|counters| counters.redis_ns) / 1e7,
        members_percent: per_second(|counters| counters.members_ns) / 1e7,
        killed,
        noticed: reported.of_the_victim,
        wrongly: reported.wrongly,
        first_noticed_s: reported.first.map(|time| time.as_secs_f64()),
        last_noticed_s: reported.last.map(|time| time.as_secs_f64()),
    })
}

/// The work of one process.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Group {
    role: String,
    members: usize,
}

const VICTIM: &str = "victim";

async fn start(redis: &Redis, members: usize, killed: usize) -> anyhow::Result<Vec<Process>> {
    let survivors = members - killed;
    let mut groups: Vec<_> = (0..PROCESSES)
        .map(|index| Group {
            role: format!("group-{index}"),
            members: (survivors + index) / PROCESSES,
        })
        .collect();
    if killed > 0 {
        groups.push(Group {
            role: VICTIM.to_owned(),
            members: killed,
        });
    }
    let mut processes = Vec::new();
    for group in groups {
        processes.push(barrier::start(Task::Members, &redis.url(), &group)?);
    }
    barrier::all_ready(&mut processes).await?;
    Ok(processes)
}

async fn all_joined(events: &mut MemberWatch, members: usize) -> anyhow::Result<()> {
    let mut there = HashSet::new();
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    while there.len() < members {
        let event = timeout_at(deadline, events.next()).await;
        let event = event.with_context(|| format!("only {} joined", there.len()))?;
        match event.context("the bus is shut down")? {
            MemberEvent::Joined(member) => there.insert(member.id),
            other => anyhow::bail!("unexpected event: {other:?}"),
        };
    }
    ensure!(
        there.len() == members,
        "a member joined that was not started"
    );
    Ok(())
}

/// Counters of Redis and of processors.
struct Counters {
    commands: u64,
    bytes_in: u64,
    bytes_out: u64,
    redis_ns: u64,
    members_ns: u64,
}

impl Counters {
    async fn at(redis: &Redis, processes: &[Process]) -> anyhow::Result<Self> {
        let stats = redis.cli(&["INFO", "stats"]).await;
        let stat = |name: &str| {
            let line = stats.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.trim_start_matches(':').trim().parse().ok());
            number.with_context(|| format!("INFO has no {name}"))
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

/// The members that were reported as gone after the kill.
#[derive(Default)]
struct Reported {
    of_the_victim: usize,
    wrongly: usize,
    first: Option<Duration>,
    last: Option<Duration>,
}

impl Reported {
    async fn watch(events: &mut MemberWatch) -> Self {
        let mut reported = Self::default();
        let killed = Instant::now();
        let until = tokio::time::Instant::now() + LEASE + AFTERWARDS;
        while let Ok(Some(event)) = timeout_at(until, events.next()).await {
            let MemberEvent::Left { member, why, .. } = event else {
                reported.wrongly += 1;
                continue;
            };
            if member.role.as_deref() != Some(VICTIM) || why != LeaveReason::Vanished {
                reported.wrongly += 1;
                continue;
            }
            reported.of_the_victim += 1;
            reported.first.get_or_insert(killed.elapsed());
            reported.last = Some(killed.elapsed());
        }
        reported
    }
}

#[expect(clippy::print_stdout, reason = "this is the program's output")]
pub(super) fn show(costs: &[Cost]) {
    if costs.is_empty() {
        return;
    }
    println!("idle members, each second\n");
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

/// Runs the members of one process, until it is killed.
pub(super) async fn run(url: &str, group: Group) -> anyhow::Result<()> {
    let mut members = Vec::new();
    while members.len() < group.members {
        let together = AT_ONCE.min(group.members - members.len());
        let starting: FuturesUnordered<_> = (0..together)
            .map(|_| Bus::builder(url).role(&group.role).lease(LEASE).start())
            .collect();
        let started: Vec<_> = starting.collect().await;
        for bus in started {
            members.push(bus?);
        }
    }
    print_ready();
    std::future::pending().await
}
