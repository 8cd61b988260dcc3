//! A hundred random faults, one after the other, under traffic of buses in this process, of nodes in
//! processes of their own, and of foreign programs, with load on keys beside it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use rustix::process::Signal;
use tidings_testkit::{Fault, Proxy, Redis};
use tokio::time::sleep;

use self::cast::Cast;
use super::{Effort, Outcome};
use crate::clock::micros;
use crate::leftovers::{Belongings, busy_for};
use crate::oracle::Disturbance;
use crate::script::{Mischief, Step, script_with_processes};
use crate::traffic::CHANNEL;

mod cast;
mod foreign;
mod load;
mod node;
mod tally;

pub(crate) use node::play_node;

pub(super) const FAULTS: usize = 100;

/// The outage of all comes on top.
const QUICK: usize = 7;

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
    // What Redis confirmed outlives its process: a count is never taken back.
    let mut redis = Redis::builder().config("appendonly", "yes").start().await;
    let mut cast = Cast::start(&redis, effort.seed).await?;
    let faults = if effort.quick { QUICK } else { FAULTS };
    let steps = script_with_processes(effort.seed, faults, cast.proxies.len());
    let faults = steps.len();
    for step in steps {
        let from = micros(Instant::now());
        match step.what {
            Mischief::StopProcess => stand_still(&cast, step).await?,
            _ => apply(step, &mut redis, &cast.proxies).await,
        }
        cast.disturbances.push(Disturbance {
            from,
            until: micros(Instant::now()),
            member: whom(step, &cast),
        });
        sleep(step.rest).await;
    }

    let mut outcome = Outcome::default();
    let healed = Instant::now();
    cast.all_up().await?;
    outcome.took.push(healed.elapsed());
    cast.end_forging().await;
    sleep(QUIET).await;
    cast.traffic.flows().await?;
    outcome.notes.push(format!("{faults} faults"));
    cast.settle(&redis, &mut outcome).await?;

    let busy = busy_for(IDLE).await;
    outcome.notes.push(format!(
        "{busy:.0?} of processor time in {IDLE:?} of idleness"
    ));
    if busy > BUSY {
        outcome
            .findings
            .push(format!("not quiet afterwards: {busy:.0?} in {IDLE:?}"));
    }
    outcome.findings.extend(cast.shut_down().await);
    Ok(outcome)
}

/// A process does nothing for a while.
async fn stand_still(cast: &Cast, step: Step) -> Result<()> {
    let node = cast.node_of(step);
    node.signal(Signal::STOP)?;
    sleep(step.lasts).await;
    node.signal(Signal::CONT).context("a node was stopped")
}

/// The one that a step disturbs, where it is not all of them.
fn whom(step: Step, cast: &Cast) -> Option<usize> {
    match step.what {
        Mischief::Reset | Mischief::Proxy(_) | Mischief::Swallow(_) => Some(step.at),
        Mischief::StopProcess => Some(cast.member_of(step)),
        _ => None,
    }
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
            proxy.set(Fault::None);
        }
        Mischief::Swallow(way) => {
            proxy.set(Fault::Drop(way));
            sleep(step.lasts).await;
            // TCP never goes on behind a hole: what lost something has to end.
            proxy.set_new_connections(Fault::None);
            proxy.reset().await;
        }
        Mischief::KillHearers => {
            redis.kill_subscribers().await;
        }
        Mischief::KillSenders => {
            redis.kill_senders().await;
        }
        Mischief::Pause => {
            redis.pause(step.lasts).await;
            sleep(step.lasts).await;
        }
        Mischief::Freeze => {
            redis.freeze();
            sleep(step.lasts).await;
            redis.resume();
        }
        Mischief::Restart => {
            redis.kill();
            sleep(step.lasts).await;
            redis.start_again().await;
        }
        Mischief::SmallBuffer => cut_who_is_behind(redis, step.lasts).await,
        Mischief::Outage => cut_all_off(proxies, step.lasts).await,
        // Only processes of their own can be stopped.
        Mischief::StopProcess => {}
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

/// Nobody gets a connection, and Redis is well.
async fn cut_all_off(proxies: &[Proxy], time: Duration) {
    for proxy in proxies {
        proxy.set_new_connections(Fault::Reset);
        proxy.set(Fault::Reset);
    }
    sleep(time).await;
    for proxy in proxies {
        proxy.set_new_connections(Fault::None);
        proxy.set(Fault::None);
    }
}
