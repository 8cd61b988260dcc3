//! The sentinels promote another master.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use redis::Client;
use tidings::{Bus, Connection};
use tidings_testkit::{Redis, Sentinels};
use tokio::time::{sleep, timeout};

use crate::row::Outcome;
use crate::traffic::{CHANNEL, Traffic, until};

const DOWN_AFTER: Duration = Duration::from_secs(1);

/// The send timeout; a send to a frozen server may take this long.
const DEADLINE: Duration = Duration::from_secs(10);
const SLACK: Duration = Duration::from_millis(500);

/// The time for which the old master is observed.
const AFTERWARDS: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(50);

/// The reason of the failover.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Failover {
    Killed,
    /// It resumes once there is another master.
    Frozen,
    Planned,
}

impl Failover {
    pub(super) const ALL: [Self; 3] = [Self::Killed, Self::Frozen, Self::Planned];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Killed => "Sentinel: master killed",
            Self::Frozen => "Sentinel: master frozen and resumed",
            Self::Planned => "Sentinel: planned failover",
        }
    }
}

pub(super) async fn run(failover: Failover, times: usize) -> Result<Outcome> {
    let mut trials = Vec::new();
    for _ in 0..times {
        trials.push(match failover {
            Failover::Killed => kill().await,
            Failover::Frozen => freeze().await,
            Failover::Planned => switch().await,
        });
    }
    Ok(Outcome::of_all(trials))
}

/// Starts the servers, and a sender and a subscriber that use the sentinels.
async fn start() -> Result<(Sentinels, Traffic)> {
    let all = Sentinels::builder().down_after(DOWN_AFTER).start().await;
    let urls = [all.url()];
    let traffic = Traffic::start(&urls, &urls, |bus| bus.send_timeout(DEADLINE)).await?;
    Ok((all, traffic))
}

async fn kill() -> Result<Outcome> {
    let (mut all, traffic) = start().await?;
    let mut outcome = Outcome::default();

    let since = Instant::now();
    all.kill_master().await;
    let again = traffic.subscribers[0].receives_again(since).await?;
    outcome.took.push(again - since);
    traffic.flows().await?;
    outcome.strict_balance(traffic.end().await);
    Ok(outcome)
}

async fn freeze() -> Result<Outcome> {
    let (all, traffic) = start().await?;
    let mut outcome = Outcome::default();

    let since = Instant::now();
    let old = all.freeze_master().await;
    let again = traffic.subscribers[0].receives_again(since).await?;
    outcome.took.push(again - since);
    all.resume();
    sleep(AFTERWARDS).await;
    traffic.flows().await?;
    if traffic.buses().any(|bus| is_on(bus, old)) {
        outcome
            .findings
            .push("a bus went back to the old master".to_owned());
    }
    let balance = traffic.end().await;
    if balance.longest_send > DEADLINE + SLACK {
        outcome
            .findings
            .push(format!("a send took {:.2?}", balance.longest_send));
    }
    outcome.balance(balance);
    Ok(outcome)
}

async fn switch() -> Result<Outcome> {
    let (all, traffic) = start().await?;
    let mut outcome = Outcome::default();
    let old = all.master().await;

    let since = Instant::now();
    let new = all.failover().await.port();
    let all_moved = || traffic.buses().all(|bus| is_on(bus, new)).then_some(());
    until(all_moved)
        .await
        .context("not all buses moved to the new master")?;
    let strays = count_strays(old).await?;
    if strays > 0 {
        outcome
            .findings
            .push(format!("{strays} frames were published to the old master"));
    }
    outcome
        .took
        .push(traffic.subscribers[0].longest_silence(since));
    outcome.balance(traffic.end().await);
    Ok(outcome)
}

pub(super) fn is_on(bus: &Bus, port: u16) -> bool {
    let on_it = format!(":{port}");
    matches!(bus.health().connection, Connection::Up { server, .. } if server.ends_with(&on_it))
}

/// Returns the number of frames that are published to the old master while it is one. As a replica
/// it repeats what the new master receives.
async fn count_strays(old: &Redis) -> Result<usize> {
    let mut channel = Client::open(old.url())?.get_async_pubsub().await?;
    channel.subscribe(CHANNEL).await?;
    let mut frames = channel.on_message();
    let (begun, mut strays, mut unsure) = (Instant::now(), 0, 0);
    while begun.elapsed() < AFTERWARDS {
        if let Ok(Some(_)) = timeout(LOOK, frames.next()).await {
            unsure += 1;
        }
        // It was a master until now.
        if !old.is_master().await {
            break;
        }
        strays += std::mem::take(&mut unsure);
    }
    Ok(strays)
}
