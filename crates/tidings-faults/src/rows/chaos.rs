//! Chaos: random faults, one after the other, under traffic of buses in this process, of nodes in
//! child processes, and of foreign programs, and under load on shared state.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tidings_faults::disrupt::apply;
use tidings_faults::script::{Disruption, FAULTS, Step, script_with_processes};
use tidings_testkit::Redis;
use tokio::time::sleep;

use self::participants::Participants;
use crate::clock::micros;
use crate::oracle::Disturbance;
use crate::resources::{Resources, busy_for};
use crate::row::{Effort, Outcome};

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
