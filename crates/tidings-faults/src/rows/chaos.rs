//! Chaos: random faults, one after the other, under traffic of buses in this process, of nodes in
//! child processes, and of foreign programs, and under load on shared state.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use rustix::process::Signal;
use tidings_testkit::{Fault, Proxy, Redis};
use tokio::time::sleep;

use self::participants::Participants;
use crate::clock::micros;
use crate::oracle::Disturbance;
use crate::resources::{Resources, busy_for};
use crate::row::{Effort, Outcome};
use crate::script::{Disruption, FAULTS, Step, script_with_processes};
use crate::traffic::CHANNEL;

mod foreign;
pub(super) mod load;
mod node;
mod participants;
mod tally;

pub(crate) use node::run_node;

/// Faults of a quick run. The outage of all proxies comes on top.
const QUICK: usize = 7;

/// The time of traffic after the last fault.
const QUIET: Duration = Duration::from_secs(3);

/// The time without traffic, and the processor time allowed in it.
const IDLE: Duration = Duration::from_secs(2);
const BUSY: Duration = Duration::from_millis(100);

/// The time in which tasks and connections must end by themselves.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

pub(super) async fn run(effort: Effort) -> Result<Outcome> {
    let before = Resources::at_rest().await;
    let mut outcome = go_through(effort).await?;
    outcome
        .findings
        .extend(before.released(ENDS_WITHIN).await.err());
    Ok(outcome)
}

async fn go_through(effort: Effort) -> Result<Outcome> {
    // Confirmed counts must survive a restart of Redis.
    let mut redis = Redis::builder().config("appendonly", "yes").start().await;
    let mut participants = Participants::start(&redis, effort.seed).await?;
    let faults = if effort.quick { QUICK } else { FAULTS };
    let steps = script_with_processes(effort.seed, faults, participants.proxies.len());
    let faults = steps.len();
    for step in steps {
        let from = micros(Instant::now());
        match step.what {
            Disruption::StopProcess => stop_process(&participants, step).await?,
            _ => apply(step, &mut redis, &participants.proxies).await,
        }
        participants.disturbances.push(Disturbance {
            from,
            until: micros(Instant::now()),
            member: disturbed_member(step, &participants),
        });
        sleep(step.rest).await;
    }

    let mut outcome = Outcome::default();
    let over = Instant::now();
    participants.all_connected().await?;
    outcome.took.push(over.elapsed());
    participants.end_forging().await;
    sleep(QUIET).await;
    participants.traffic.flows().await?;
    outcome.notes.push(format!("{faults} faults"));
    participants.settle(&redis, &mut outcome).await?;

    let busy = busy_for(IDLE).await;
    outcome.notes.push(format!(
        "{busy:.0?} of processor time in {IDLE:?} without traffic"
    ));
    if busy > BUSY {
        outcome.findings.push(format!(
            "busy when idle: {busy:.0?} of processor time in {IDLE:?}"
        ));
    }
    outcome.findings.extend(participants.shut_down().await);
    Ok(outcome)
}

/// Stops a process for a while.
async fn stop_process(participants: &Participants, step: Step) -> Result<()> {
    let node = participants.node_of(step);
    node.signal(Signal::STOP)?;
    sleep(step.lasts).await;
    node.signal(Signal::CONT).context("cannot resume a node")
}

/// Returns the member that a step disturbs; `None` is all of them.
fn disturbed_member(step: Step, participants: &Participants) -> Option<usize> {
    match step.what {
        Disruption::Reset | Disruption::Proxy(_) | Disruption::DropBytes(_) => Some(step.at),
        Disruption::StopProcess => Some(participants.member_of(step)),
        _ => None,
    }
}

pub(super) async fn apply(step: Step, redis: &mut Redis, proxies: &[Proxy]) {
    let proxy = &proxies[step.at];
    match step.what {
        Disruption::Reset => {
            proxy.reset().await;
        }
        Disruption::ResetAll => {
            join_all(proxies.iter().map(Proxy::reset)).await;
        }
        Disruption::Proxy(fault) => {
            proxy.set(fault);
            sleep(step.lasts).await;
            proxy.set(Fault::None);
        }
        Disruption::DropBytes(direction) => {
            proxy.set(Fault::Drop(direction));
            sleep(step.lasts).await;
            // TCP cannot continue after lost bytes: a connection that lost some has to end.
            proxy.set_new_connections(Fault::None);
            proxy.reset().await;
        }
        Disruption::KillSubscribers => {
            redis.kill_subscribers().await;
        }
        Disruption::KillSenders => {
            redis.kill_senders().await;
        }
        Disruption::Pause => {
            redis.pause(step.lasts).await;
            sleep(step.lasts).await;
        }
        Disruption::Freeze => {
            redis.freeze();
            sleep(step.lasts).await;
            redis.resume();
        }
        Disruption::Restart => {
            redis.kill();
            sleep(step.lasts).await;
            redis.start_again().await;
        }
        Disruption::SmallBuffer => limit_output_buffer(redis, step.lasts).await,
        Disruption::Outage => cut_off_all(proxies, step.lasts).await,
        // Only child processes can be stopped.
        Disruption::StopProcess => {}
    }
}

async fn limit_output_buffer(redis: &Redis, time: Duration) {
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

/// Refuses all connections for a while; Redis is healthy.
async fn cut_off_all(proxies: &[Proxy], time: Duration) {
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
