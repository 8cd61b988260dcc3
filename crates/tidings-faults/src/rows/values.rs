//! Shared values that change all the time, under random faults and under failovers. After each
//! fault, every process must have the values of Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use redis::aio::MultiplexedConnection;
use tidings::{Bus, BusBuilder, Freshness, Shared, Snapshot};
use tidings_faults::disrupt::apply;
use tidings_faults::script::{FAULTS, INTERVAL, script};
use tidings_testkit::{Proxy, Redis, Sentinels};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::sentinel::is_on;
use crate::row::{Effort, Outcome};
use crate::traffic::until;

const BUSES: usize = 6;
const NAMES: [&str; 3] = ["a", "b", "c"];

/// The pause between two changes of one process.
const PAUSE: Duration = Duration::from_millis(5);

/// The interval of the comparison with Redis.
const LOOK: Duration = Duration::from_millis(5);

/// The time after a match in which no process may go back to an older value.
const STAYS: Duration = Duration::from_millis(50);

const DOWN_AFTER: Duration = Duration::from_secs(1);

/// The time, once all are connected, after which every copy must be equal to Redis.
pub(super) const CONVERGES_WITHIN: Duration = Duration::from_secs(2);

/// The Redis of the values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Values {
    /// One Redis, with a proxy for each process.
    Alone,
    /// The master of the sentinels.
    Sentinel,
}

impl Values {
    pub(super) const ALL: [Self; 2] = [Self::Alone, Self::Sentinel];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Alone => "shared values: chaos",
            Self::Sentinel => "shared values: failovers",
        }
    }
}

pub(super) async fn run(values: Values, effort: Effort) -> Result<Outcome> {
    match values {
        Values::Alone => under_chaos(effort).await,
        Values::Sentinel => under_failovers(effort).await,
    }
}

async fn under_chaos(effort: Effort) -> Result<Outcome> {
    let mut redis = Redis::start().await;
    let mut proxies = Vec::new();
    for _ in 0..BUSES {
        proxies.push(Proxy::start(redis.address()).await);
    }
    let urls: Vec<_> = proxies.iter().map(Proxy::url).collect();
    let fleet = Fleet::start(&urls).await?;
    let faults = if effort.quick { FAULTS / 5 } else { FAULTS };
    let mut outcome = Outcome::default();
    for step in script(effort.seed, faults, proxies.len()) {
        fleet.change();
        apply(step, &mut redis, &proxies).await;
        sleep(step.rest).await;
        fleet.settle(&redis, &mut outcome).await?;
    }
    outcome.notes.push(fleet.note(faults));
    Ok(outcome)
}

async fn under_failovers(effort: Effort) -> Result<Outcome> {
    let times = if effort.quick { 1 } else { 5 };
    let mut outcome = Outcome::default();
    let mut changes = 0;
    for _ in 0..times {
        for failover in [Failover::Planned, Failover::Killed, Failover::Frozen] {
            let mut all = Sentinels::builder().down_after(DOWN_AFTER).start().await;
            let fleet = Fleet::start(&vec![all.url(); BUSES]).await?;
            fleet.change();
            sleep(PAUSE * 20).await;
            let master = failover.happen(&mut all).await;
            fleet.moves_to(master.port()).await?;
            fleet.settle(master, &mut outcome).await?;
            changes += fleet.changed.load(Relaxed);
        }
    }
    outcome
        .notes
        .push(format!("{changes} changes were acknowledged"));
    Ok(outcome)
}

#[derive(Clone, Copy)]
enum Failover {
    Planned,
    Killed,
    Frozen,
}

impl Failover {
    /// Makes it happen, and returns the new master.
    async fn happen(self, all: &mut Sentinels) -> &Redis {
        let old = match self {
            Self::Planned => return all.failover().await,
            Self::Killed => all.kill_master().await,
            Self::Frozen => all.freeze_master().await,
        };
        let all = &*all;
        let new = all.wait_for_master_other_than(old).await;
        all.resume();
        new
    }
}

/// Processes that change the same values.
struct Fleet {
    nodes: Vec<Node>,
    changing: Arc<AtomicBool>,
    /// Changes in flight, and changes that were made.
    under_way: Arc<AtomicU64>,
    changed: Arc<AtomicU64>,
}

/// A process with a copy of each value, and the last value that its watcher saw.
struct Node {
    bus: Bus,
    values: Vec<Shared<u64>>,
    seen: Vec<tokio::sync::watch::Receiver<Option<Seen>>>,
    tasks: Vec<JoinHandle<()>>,
}

/// A version and its value.
type Seen = (u64, Option<u64>);

impl Fleet {
    async fn start(urls: &[String]) -> Result<Self> {
        let mut fleet = Self {
            nodes: Vec::new(),
            changing: Arc::default(),
            under_way: Arc::default(),
            changed: Arc::default(),
        };
        for url in urls {
            let node = Node::start(Bus::builder(url).heartbeat_interval(INTERVAL), &fleet).await?;
            fleet.nodes.push(node);
        }
        Ok(fleet)
    }

    fn change(&self) {
        self.changing.store(true, Relaxed);
    }

    async fn moves_to(&self, port: u16) -> Result<()> {
        let all_there = || {
            self.nodes
                .iter()
                .all(|node| is_on(&node.bus, port))
                .then_some(())
        };
        until(all_there)
            .await
            .context("not all buses moved to the new master")
    }

    /// Stops all changes, and measures the time from when all are connected until every copy is
    /// equal to Redis.
    async fn settle(&self, redis: &Redis, outcome: &mut Outcome) -> Result<()> {
        self.changing.store(false, Relaxed);
        let all_up = || {
            self.nodes
                .iter()
                .all(|node| node.bus.is_ready())
                .then_some(())
        };
        until(all_up).await.context("not all buses reconnected")?;
        let began = Instant::now();
        let at_rest = || (self.under_way.load(Relaxed) == 0).then_some(());
        until(at_rest).await.context("a change did not end")?;
        let mut connection = connect(redis).await?;
        let deadline = began + CONVERGES_WITHIN;
        loop {
            match self.difference(&mut connection).await? {
                None => break,
                Some(difference) if Instant::now() > deadline => {
                    outcome.findings.push(difference);
                    break;
                }
                Some(_) => sleep(LOOK).await,
            }
        }
        outcome.took.push(began.elapsed());
        sleep(STAYS).await;
        if let Some(difference) = self.difference(&mut connection).await? {
            outcome
                .findings
                .push(format!("changed again: {difference}"));
        }
        Ok(())
    }

    /// Returns a copy that differs from Redis.
    async fn difference(&self, connection: &mut MultiplexedConnection) -> Result<Option<String>> {
        for (index, name) in NAMES.into_iter().enumerate() {
            let expected = expected(connection, name).await?;
            for (node, has) in self.nodes.iter().enumerate() {
                let copy = has.values[index].peek().map(|now| seen(&now));
                let watched = *has.seen[index].borrow();
                if copy != Some(expected) || watched != Some(expected) {
                    return Ok(Some(format!(
                        "`{name}`: Redis has {expected:?}, process {node} {copy:?}, its watcher {watched:?}"
                    )));
                }
            }
        }
        Ok(None)
    }

    /// Changes the value repeatedly, in different ways, and ignores errors.
    fn keep_changing(&self, value: Shared<u64>) -> JoinHandle<()> {
        let changing = Arc::clone(&self.changing);
        let (under_way, changed) = (Arc::clone(&self.under_way), Arc::clone(&self.changed));
        tokio::spawn(async move {
            for turn in 0_u64.. {
                sleep(PAUSE).await;
                under_way.fetch_add(1, Relaxed);
                let is_acknowledged = changing.load(Relaxed) && change(&value, turn).await;
                under_way.fetch_sub(1, Relaxed);
                changed.fetch_add(u64::from(is_acknowledged), Relaxed);
            }
        })
    }

    fn note(&self, faults: usize) -> String {
        let changed = self.changed.load(Relaxed);
        format!("{faults} faults, {changed} changes were acknowledged")
    }
}

/// Makes one change, and returns whether Redis acknowledged it.
async fn change(value: &Shared<u64>, turn: u64) -> bool {
    match turn % 8 {
        0 => value.clear().await.is_ok(),
        1..=3 => value.set(&rand::random()).await.is_ok(),
        _ => {
            let next = |old: Option<&u64>| old.copied().unwrap_or(0).wrapping_add(1);
            value.update(next).await.is_ok()
        }
    }
}

async fn connect(redis: &Redis) -> Result<MultiplexedConnection> {
    let client = redis::Client::open(redis.url())?;
    Ok(client.get_multiplexed_async_connection().await?)
}

/// Reads the value in Redis.
async fn expected(connection: &mut MultiplexedConnection, name: &str) -> Result<Seen> {
    let mut read = redis::cmd("HMGET");
    read.arg(format!("tidings:{{default}}:shared:{name}"));
    read.arg(&["version", "value"]);
    let (version, value): (Option<u64>, Option<u64>) = read.query_async(connection).await?;
    Ok((version.unwrap_or(0), value))
}

/// Returns the value of a snapshot as Redis has it: nothing where Redis has lost it.
fn seen(now: &Snapshot<u64>) -> Seen {
    if matches!(now.freshness(), Freshness::Lost { .. }) {
        return (0, None);
    }
    (now.version(), now.value().map(|value| **value))
}

impl Node {
    async fn start(builder: BusBuilder, fleet: &Fleet) -> Result<Self> {
        let bus = builder.start().await?;
        let (mut values, mut watchers, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
        for name in NAMES {
            let value = bus.shared::<u64>(name)?;
            let (saw, sees) = tokio::sync::watch::channel(None);
            let mut changes = value.watch();
            tasks.push(tokio::spawn(async move {
                while let Some(now) = changes.changed().await {
                    let _ = saw.send_replace(Some(seen(&now)));
                }
            }));
            // The watcher needs a first value.
            value.get().await?;
            tasks.push(fleet.keep_changing(value.clone()));
            values.push(value);
            watchers.push(sees);
        }
        Ok(Self {
            bus,
            values,
            seen: watchers,
            tasks,
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
