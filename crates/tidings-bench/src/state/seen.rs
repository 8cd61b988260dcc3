//! How soon eight processes see that a value changed, beside how soon they hear a bare event.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::{Bus, Sharing};
use tidings_testkit::Redis;
use tokio::sync::mpsc;

use super::{Task, gate, median};
use crate::clock::now_ns;
use crate::pacer::Pacer;
use crate::{print, say_ready};

const PROCESSES: usize = 8;
const CHANGES: usize = 1_000;
const PER_SECOND: u64 = 200;

/// Larger than any value here.
const SMALL: usize = 1_024;

/// A process gives up after this silence.
const SILENCE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(super) enum How {
    Event,
    Shared,
    Inline,
}

impl How {
    const ALL: [Self; 3] = [Self::Event, Self::Shared, Self::Inline];

    fn name(self) -> &'static str {
        match self {
            Self::Event => "a bare event",
            Self::Shared => "a shared value",
            Self::Inline => "one that travels along",
        }
    }

    fn sharing(self) -> Sharing {
        match self {
            Self::Inline => Sharing::new().inline(SMALL),
            _ => Sharing::new(),
        }
    }
}

/// What one process saw, in microseconds.
#[derive(Debug, Deserialize, Serialize)]
struct Times {
    latencies_us: Vec<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Seen {
    how: &'static str,
    /// Of all changes and processes, the part that was seen: who is late sees only the newest.
    share: f64,
    p50_us: f64,
    p90_us: f64,
}

pub(super) async fn measure(rounds: usize) -> anyhow::Result<Vec<Seen>> {
    let mut all = How::ALL.map(|how| (how, Vec::new()));
    for round in 1..=rounds {
        for (how, rounds) in &mut all {
            eprintln!("seen, round {round}: {}", how.name());
            rounds.push(once(*how).await?);
        }
    }
    Ok(all.into_iter().map(summary).collect())
}

async fn once(how: How) -> anyhow::Result<Vec<f64>> {
    let redis = Redis::start().await;
    let mut processes = (0..PROCESSES)
        .map(|_| gate::start(Task::See, &redis.url(), &how))
        .collect::<Result<Vec<_>, _>>()?;
    gate::all_ready(&mut processes).await?;
    change(&redis.url(), how).await?;
    let mut latencies = Vec::new();
    for process in &mut processes {
        latencies.extend(process.result::<Times>().await?.latencies_us);
    }
    latencies.sort_unstable_by(f64::total_cmp);
    Ok(latencies)
}

/// Changes the value, or sends the event, at an even pace.
async fn change(url: &str, how: How) -> anyhow::Result<()> {
    let bus = Bus::builder(url).start().await?;
    let value = bus.shared_with::<u64>(NAME, how.sharing())?;
    let mut pacer = Pacer::new(PER_SECOND)?;
    for _ in 0..CHANGES {
        pacer.next().await?;
        let now = now_ns();
        if how == How::Event {
            bus.send_to_all(NAME, &now).await?;
        } else {
            value.set(&now).await?;
        }
    }
    Ok(())
}

const NAME: &str = "time";

fn summary((how, rounds): (How, Vec<Vec<f64>>)) -> Seen {
    let at = |part: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index within the list"
        )]
        let of = |round: &Vec<f64>| round.get((round.len() as f64 * part) as usize).copied();
        median(rounds.iter().filter_map(of).collect())
    };
    let seen: usize = rounds.iter().map(Vec::len).sum();
    Seen {
        how: how.name(),
        share: seen as f64 / (rounds.len() * PROCESSES * CHANGES) as f64,
        p50_us: at(0.5),
        p90_us: at(0.9),
    }
}

#[expect(clippy::print_stdout, reason = "this is the program's output")]
pub(super) fn show(all: &[Seen]) {
    let Some(event) = all.first() else { return };
    println!("{PROCESSES} processes see {PER_SECOND} changes a second\n");
    println!(
        "{:<24} {:>8} {:>8} {:>9} {:>6}",
        "", "p50 us", "p90 us", "of event", "seen"
    );
    for seen in all {
        let Seen {
            how,
            share,
            p50_us,
            p90_us,
        } = seen;
        let ratio = p50_us / event.p50_us;
        let percent = share * 100.0;
        println!("{how:<24} {p50_us:>8.0} {p90_us:>8.0} {ratio:>9.2} {percent:>5.1}%");
    }
    println!();
}

/// One of the processes.
pub(super) async fn see(url: &str, how: How) -> anyhow::Result<()> {
    let bus = Bus::builder(url).start().await?;
    let (times, mut seen) = mpsc::channel(CHANGES);
    if how == How::Event {
        bus.on(NAME, move |sent: u64| {
            let times = times.clone();
            async move {
                let _ = times.send(now_ns() - sent).await;
            }
        })?;
    } else {
        let mut changes = bus.shared_with::<u64>(NAME, how.sharing())?.watch();
        tokio::spawn(async move {
            while let Some(now) = changes.changed().await {
                if let Some(sent) = now.value() {
                    let _ = times.send(now_ns() - **sent).await;
                }
            }
        });
    }
    say_ready();
    let mut latencies_us = Vec::new();
    // The first can take as long as the others need to start.
    let mut patience = SILENCE * 20;
    while latencies_us.len() < CHANGES {
        let Ok(Some(ns)) = tokio::time::timeout(patience, seen.recv()).await else {
            break;
        };
        patience = SILENCE;
        latencies_us.push(ns as f64 / 1e3);
    }
    print(&Times { latencies_us })
}
