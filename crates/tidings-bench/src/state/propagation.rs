//! Propagation: the time until eight processes see a change of a value, compared with an event.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::{Bus, SharedOptions};
use tidings_testkit::Redis;
use tokio::sync::mpsc;

use super::barrier;
use super::task::Task;
use crate::clock::now_ns;
use crate::pacer::Pacer;
use crate::process::{print_ready, print_result};
use crate::summary::Spread;

const PROCESSES: usize = 8;
const CHANGES: usize = 1_000;
const PER_SECOND: u64 = 200;

/// Larger than any value here.
const SMALL: usize = 1_024;

/// A process gives up after this time without a change.
const SILENCE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(super) enum Channel {
    Event,
    Shared,
    Inline,
}

impl Channel {
    const ALL: [Self; 3] = [Self::Event, Self::Shared, Self::Inline];

    fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Shared => "shared value",
            Self::Inline => "shared value, inlined",
        }
    }

    fn sharing(self) -> SharedOptions {
        match self {
            Self::Inline => SharedOptions::new().inline_up_to(SMALL),
            _ => SharedOptions::new(),
        }
    }
}

/// The result line of one process.
#[derive(Debug, Deserialize, Serialize)]
struct Times {
    latencies_us: Vec<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Propagation {
    channel: &'static str,
    /// The fraction of all changes that was seen: a late watcher sees only the newest.
    seen: f64,
    p50_us: f64,
    p90_us: f64,
}

pub(super) async fn measure(rounds: usize) -> anyhow::Result<Vec<Propagation>> {
    let mut all = Channel::ALL.map(|channel| (channel, Vec::new()));
    for round in 1..=rounds {
        for (channel, rounds) in &mut all {
            eprintln!("propagation, round {round}: {}", channel.name());
            rounds.push(once(*channel).await?);
        }
    }
    Ok(all.into_iter().map(summary).collect())
}

async fn once(channel: Channel) -> anyhow::Result<Vec<f64>> {
    let redis = Redis::start().await;
    let mut processes = (0..PROCESSES)
        .map(|_| barrier::start(Task::Watch, &redis.url(), &channel))
        .collect::<Result<Vec<_>, _>>()?;
    barrier::all_ready(&mut processes).await?;
    change(&redis.url(), channel).await?;
    let mut latencies = Vec::new();
    for process in &mut processes {
        latencies.extend(process.result::<Times>().await?.latencies_us);
    }
    latencies.sort_unstable_by(f64::total_cmp);
    Ok(latencies)
}

/// Changes the value, or sends the event, at a constant rate.
async fn change(url: &str, channel: Channel) -> anyhow::Result<()> {
    let bus = Bus::builder(url).start().await?;
    let value = bus.shared_with::<u64>(NAME, channel.sharing())?;
    let mut pacer = Pacer::new(PER_SECOND)?;
    for _ in 0..CHANGES {
        pacer.next().await?;
        let now = now_ns();
        if channel == Channel::Event {
            bus.send_to_all(NAME, &now).await?;
        } else {
            value.set(&now).await?;
        }
    }
    Ok(())
}

const NAME: &str = "time";

fn summary((channel, rounds): (Channel, Vec<Vec<f64>>)) -> Propagation {
    let at = |part: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index within the list"
        )]
        let of = |round: &Vec<f64>| round.get((round.len() as f64 * part) as usize).copied();
        Spread::of(rounds.iter().filter_map(of)).median
    };
    let seen: usize = rounds.iter().map(Vec::len).sum();
    Propagation {
        channel: channel.name(),
        seen: seen as f64 / (rounds.len() * PROCESSES * CHANGES) as f64,
        p50_us: at(0.5),
        p90_us: at(0.9),
    }
}

#[expect(clippy::print_stdout, reason = "this is the program's output")]
pub(super) fn show(all: &[Propagation]) {
    let Some(event) = all.first() else { return };
    println!("{PROCESSES} processes see {PER_SECOND} changes a second\n");
    println!(
        "{:<24} {:>8} {:>8} {:>9} {:>6}",
        "", "p50 us", "p90 us", "of event", "seen"
    );
    for row in all {
        let Propagation {
            channel,
            seen,
            p50_us,
            p90_us,
        } = row;
        let ratio = p50_us / event.p50_us;
        let percent = seen * 100.0;
        println!("{channel:<24} {p50_us:>8.0} {p90_us:>8.0} {ratio:>9.2} {percent:>5.1}%");
    }
    println!();
}

/// Does the work of one process.
pub(super) async fn watch(url: &str, channel: Channel) -> anyhow::Result<()> {
    let bus = Bus::builder(url).start().await?;
    let (times, mut seen) = mpsc::channel(CHANGES);
    if channel == Channel::Event {
        bus.on(NAME, move |sent: u64| {
            let times = times.clone();
            async move {
                let _ = times.send(now_ns() - sent).await;
            }
        })?;
    } else {
        let mut changes = bus.shared_with::<u64>(NAME, channel.sharing())?.watch();
        tokio::spawn(async move {
            while let Some(now) = changes.changed().await {
                if let Some(sent) = now.value() {
                    let _ = times.send(now_ns() - **sent).await;
                }
            }
        });
    }
    print_ready();
    let mut latencies_us = Vec::new();
    // The first change can take as long as the other processes need to start.
    let mut patience = SILENCE * 20;
    while latencies_us.len() < CHANGES {
        let Ok(Some(ns)) = tokio::time::timeout(patience, seen.recv()).await else {
            break;
        };
        patience = SILENCE;
        latencies_us.push(ns as f64 / 1e3);
    }
    print_result(&Times { latencies_us })
}
