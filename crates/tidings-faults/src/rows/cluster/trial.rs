//! A cluster under traffic and load, and the account of both.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use tidings::Bus;
use tidings_testkit::{Cluster, Redis};
use tokio::time::sleep;

use super::ClusterFault;
use super::probe::{COUNTER, Calls, Probe};
use super::strike::Struck;
use crate::oracle::{Steps, check_steps, differing};
use crate::report::time;
use crate::row::{Outcome, milliseconds};
use crate::rows::chaos::load::{Held, Load, Loaded};
use crate::traffic::{CHANNEL, Traffic, until};

/// The buses that send, and those that receive. With a network that is cut, the last of each is on
/// the other side.
const BUSES: usize = 4;

/// The tasks of one process that count.
const COUNTING: usize = 3;

/// The time of a bus to find an owner on which the nodes agree.
const FOLLOWS_WITHIN: Duration = Duration::from_millis(300);

/// The time of the copies to become equal to Redis.
const CONVERGES_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);

pub(super) struct Trial {
    pub(super) cluster: Cluster,
    pub(super) traffic: Traffic,
    pub(super) node_timeout: Duration,
    /// The time from the death of an owner until all nodes agree on another.
    pub(super) elected_within: Duration,
    fault: ClusterFault,
    loads: Vec<Load>,
    probe: Probe,
}

impl Trial {
    pub(super) async fn start(fault: ClusterFault) -> Result<Self> {
        // A node that is restarted has its values, and its master's numbers.
        let describe = Cluster::builder()
            .node_timeout(fault.node_timeout)
            .servers(|server| server.config("appendonly", "yes"))
            .partitions();
        let cluster = describe.start().await;
        let urls = addresses(&cluster, fault.is_sharded);
        let traffic = Traffic::start(&urls, &urls, |bus| bus).await?;
        let mut loads = Vec::new();
        for (seed, (subscriber, sender)) in
            (0..).zip(traffic.subscribers.iter().zip(&traffic.senders).take(2))
        {
            loads.push(Load::start(&subscriber.bus, &sender.bus, COUNTING, seed)?);
        }
        let probe = Probe::start(&traffic.senders[1].bus)?;
        Ok(Self {
            cluster,
            node_timeout: fault.node_timeout,
            elected_within: Duration::ZERO,
            fault,
            traffic,
            loads,
            probe,
        })
    }

    /// Ends traffic and load, and checks that all of it is accounted for.
    pub(super) async fn account(mut self, struck: Struck) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        outcome.took.push(self.longest_silence(struck.since));
        let all_up = || self.traffic.buses().all(Bus::is_ready).then_some(());
        until(all_up).await.context("not all buses reconnected")?;
        let calls = self.probe.end().await;
        self.fault
            .check_calls(&calls, struck, self.elected_within, &mut outcome);
        let loaded = join_all(self.loads.iter_mut().map(Load::end)).await;
        let owner = self.cluster.owner_of(CHANNEL).await;
        check_state(owner, &self.loads, &loaded, &calls, &mut outcome).await?;
        drop(self.loads);
        let balance = self.traffic.end().await;
        if self.fault.is_harmless() && balance.lost > 0 {
            let lost = balance.lost;
            outcome.findings.push(format!("{lost} events were lost"));
        }
        outcome.balance(balance);
        Ok(outcome)
    }

    /// The longest time in which a subscriber received nothing from one of the senders.
    fn longest_silence(&self, since: Instant) -> Duration {
        let subscribers = self.traffic.subscribers.iter();
        let silences = subscribers.map(|subscriber| subscriber.longest_silence(since));
        silences.max().unwrap_or_default()
    }
}

/// The addresses of the buses.
fn addresses(cluster: &Cluster, is_sharded: bool) -> Vec<String> {
    let mode = if is_sharded { "/?pubsub=sharded" } else { "" };
    let outside = format!("{}{mode}", cluster.url());
    let mut urls = vec![outside; BUSES];
    urls[BUSES - 1] = format!("{}{mode}", cluster.inside_url());
    urls
}

impl ClusterFault {
    fn check_calls(
        self,
        calls: &Calls,
        struck: Struck,
        elected_within: Duration,
        outcome: &mut Outcome,
    ) {
        let (back, longest) = (calls.failing_after(struck.over), calls.longest);
        let time = |duration| time(Some(milliseconds(duration)));
        let mut note = format!(
            "keys: {} calls failed, {} in doubt, back after {}, longest call {}",
            calls.failed(),
            calls.steps.in_doubt,
            time(back),
            time(longest),
        );
        if !elected_within.is_zero() {
            let _ = write!(note, ", the nodes agreed after {}", time(elected_within));
        }
        outcome.notes.push(note);
        if self.is_harmless() && calls.failed() > 0 {
            let failed = calls.failed();
            outcome
                .findings
                .push(format!("{failed} calls on a counter failed"));
        }
        // A busy machine may elect later; then the bus must follow at once.
        if back
            > self
                .keys_are_back_within()
                .max(elected_within + FOLLOWS_WITHIN)
        {
            outcome
                .findings
                .push(format!("keys were back after {back:.2?}"));
        }
        if longest > self.answers_within() {
            outcome
                .findings
                .push(format!("a call on a counter took {longest:.2?}"));
        }
    }
}

/// Checks the numbers in Redis, and waits until the copies are equal to them.
async fn check_state(
    owner: &Redis,
    loads: &[Load],
    loaded: &[Loaded],
    calls: &Calls,
    outcome: &mut Outcome,
) -> Result<()> {
    let client = redis::Client::open(owner.url())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let held = converge(&mut connection, loads, outcome).await?;
    let steps = |of: fn(&Loaded) -> &Steps| loaded.iter().map(of).cloned().collect::<Vec<_>>();
    let mut get = redis::cmd("GET");
    get.arg(format!("{CHANNEL}:counter:{COUNTER}"));
    let probed: Option<u64> = get.query_async(&mut connection).await?;
    for (what, all, end) in [
        ("counter", steps(|one| &one.counted), held.counter),
        ("value", steps(|one| &one.updated), held.sum),
        ("probe", vec![calls.steps.clone()], probed.unwrap_or(0)),
    ] {
        let wrong = check_steps(&all, end).into_iter();
        outcome
            .findings
            .extend(wrong.map(|wrong| format!("{what}: {wrong}")));
    }
    Ok(())
}

async fn converge(
    connection: &mut MultiplexedConnection,
    loads: &[Load],
    outcome: &mut Outcome,
) -> Result<Held> {
    let began = Instant::now();
    loop {
        let held = Held::read(connection).await?;
        let mut different = Vec::new();
        for load in loads {
            let copies = load.copies().await?;
            different.extend(differing(&held.values, &copies.at_hand));
            different.extend(differing(&held.values, &copies.watched));
        }
        if different.is_empty() || began.elapsed() > CONVERGES_WITHIN {
            outcome.findings.extend(different);
            return Ok(held);
        }
        sleep(LOOK).await;
    }
}
