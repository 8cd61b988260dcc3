//! A hundred random faults, one after the other, under traffic of three senders to five hearers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use tidings_testkit::{Fault, Proxy, Redis};
use tokio::time::sleep;

use super::{Effort, Outcome};
use crate::leftovers::{Belongings, busy_for};
use crate::script::{Mischief, Step, script};
use crate::traffic::{CHANNEL, Traffic, until};

pub(super) const FAULTS: usize = 100;
const SENDERS: usize = 3;
const HEARERS: usize = 5;

/// Short, so that what is broken silently is found before the next fault.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// How long traffic goes on when all is well again.
const QUIET: Duration = Duration::from_secs(3);

/// How long nothing is sent, and how long processors may work in that time.
const IDLE: Duration = Duration::from_secs(2);
const BUSY: Duration = Duration::from_millis(100);

/// What ends by itself ends within this time.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

pub(super) async fn run(effort: Effort) -> Result<Outcome> {
    let before = Belongings::at_rest().await;
    let mut outcome = go_through(effort).await?;
    outcome
        .findings
        .extend(before.regained(ENDS_WITHIN).await.err());
    Ok(outcome)
}

async fn go_through(effort: Effort) -> Result<Outcome> {
    let mut redis = Redis::start().await;
    let mut proxies = Vec::new();
    for _ in 0..SENDERS + HEARERS {
        proxies.push(Proxy::start(redis.address()).await);
    }
    let urls: Vec<_> = proxies.iter().map(Proxy::url).collect();
    let (hearers, senders) = urls.split_at(HEARERS);
    let mut traffic = Traffic::start(hearers, senders, |bus| bus.probe_interval(INTERVAL)).await?;

    let faults = if effort.quick { FAULTS / 5 } else { FAULTS };
    for step in script(effort.seed, faults, proxies.len()) {
        apply(step, &mut redis, &proxies).await;
        sleep(step.rest).await;
    }

    let mut outcome = Outcome::default();
    let healed = Instant::now();
    let all_up = || traffic.buses().all(tidings::Bus::ready).then_some(());
    until(all_up).await.context("not all buses come back")?;
    outcome.took.push(healed.elapsed());
    sleep(QUIET).await;
    traffic.flows().await?;
    let balance = traffic.settle().await;
    outcome
        .notes
        .push(format!("{faults} faults, {} events heard", balance.heard));
    outcome.balance(balance);

    let busy = busy_for(IDLE).await;
    outcome.notes.push(format!(
        "{busy:.0?} of processor time in {IDLE:?} of idleness"
    ));
    if busy > BUSY {
        outcome
            .findings
            .push(format!("not quiet afterwards: {busy:.0?} in {IDLE:?}"));
    }
    outcome.findings.extend(traffic.shut_down().await);
    Ok(outcome)
}

pub(super) async fn apply(step: Step, redis: &mut Redis, proxies: &[Proxy]) {
    let proxy = &proxies[step.at];
    match step.what {
        Mischief::Reset => {
            proxy.reset().await;
        }
        Mischief::ResetAll => {
            join_all(proxies.iter().map(Proxy::reset)).await;
        }
        Mischief::Proxy(fault) => {
            proxy.set(fault);
            sleep(step.lasts).await;
            proxy.set(Fault::Pass);
        }
        Mischief::Swallow(way) => {
            proxy.set(Fault::Swallow(way));
            sleep(step.lasts).await;
            // TCP never goes on behind a hole: what lost something has to end.
            proxy.set_later(Fault::Pass);
            proxy.reset().await;
        }
        Mischief::KillHearers => {
            redis.cut_hearers().await;
        }
        Mischief::KillSenders => {
            redis.cut_senders().await;
        }
        Mischief::Pause => {
            redis.pause(step.lasts).await;
            sleep(step.lasts).await;
        }
        Mischief::Freeze => {
            redis.freeze();
            sleep(step.lasts).await;
            redis.thaw();
        }
        Mischief::Restart => {
            redis.kill();
            sleep(step.lasts).await;
            redis.start_again().await;
        }
        Mischief::SmallBuffer => cut_who_is_behind(redis, step.lasts).await,
    }
}

async fn cut_who_is_behind(redis: &Redis, time: Duration) {
    let limit = async |limit| {
        let set = ["CONFIG", "SET", "client-output-buffer-limit", limit];
        redis.command(&set).await;
    };
    limit("pubsub 32kb 0 0").await;
    let long = format!(r#"{{"event":"ballast","data":"{}"}}"#, "x".repeat(200_000));
    redis.command(&["PUBLISH", CHANNEL, &long]).await;
    sleep(time).await;
    limit("pubsub 32mb 8mb 60").await;
}
