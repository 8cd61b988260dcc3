//! The trial of a journal: the speed and the memory of a process that reads it from its start, and the
//! memory of Redis.

use std::time::Duration;

use anyhow::{Context, bail};
use redis::Value;
use tidings_testkit::Redis;
use tokio::time::sleep;

use super::{Trial, at_least, at_most, endpoint};
use crate::clock::{now_ns, rss_kib_of};
use crate::peers::{LARGE_JOURNAL, Peer};
use crate::process::Process;
use crate::rows::thousands;
use crate::run::{results, start_senders, start_subscribers};
use crate::sender::Sent;
use crate::subscriber::Received;
use crate::summary::Spread;
use crate::work::{Load, Work};

/// The name by which the trial is selected.
pub(super) const NAME: &str = "journal, catching up";

const EVENTS: u64 = 1_000_000;

/// The events that are sent one by one, each in a frame of its own.
const ONE_BY_ONE: u64 = 20_000;

/// The processes that read the journal one after the other.
const READERS: usize = 5;

/// The time after which the memory of an idle process is taken.
const IDLE_FOR: Duration = Duration::from_secs(1);

/// The targets: events a second, MiB above an idle process, bytes of Redis for a byte of the frames.
const RATE: f64 = 500_000.0;
const MIB: f64 = 32.0;
const OVERHEAD: f64 = 1.3;

/// Adds the bytes of the frames of a journal, page by page.
const BYTES_OF_FRAMES: &str = "
local bytes, from = 0, '-'
while true do
  local page = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 256)
  if #page == 0 then return bytes end
  for _, entry in ipairs(page) do bytes = bytes + #entry[2][2] end
  from = '(' .. page[#page][1]
end";

pub(super) async fn run(is_quick: bool) -> anyhow::Result<[Trial; 2]> {
    let events = if is_quick { EVENTS / 5 } else { EVENTS };
    Ok([catching_up(events).await?, one_by_one().await?])
}

async fn catching_up(events: u64) -> anyhow::Result<Trial> {
    let redis = Redis::start().await;
    let work = work(events, Load::Feed);
    let idle = idle_mib(&redis).await?;
    send(&redis, work).await?;
    let overhead = overhead(&redis).await?;
    let (mut rates, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..READERS {
        let mut readers = start_subscribers(Peer::JournalJson, &endpoint(&redis)?, work, 1).await?;
        let began = now_ns();
        let read: Vec<Received> = results(&mut readers).await?;
        let read = read.first().context("one process has read")?;
        let is_whole = read.received == events && read.duplicates + read.out_of_order == 0;
        if !is_whole {
            bail!("a process has read {} of {events} events", read.received);
        }
        rates.push(events as f64 * 1e9 / read.last_ns.saturating_sub(began) as f64);
        peaks.push(read.rss_kib as f64 / 1024.0);
    }
    let median = |figures: Vec<f64>| Spread::of(figures.into_iter()).median;
    Ok(Trial {
        name: format!("{NAME}, {} events", thousands(events)),
        figures: vec![
            at_least("events a second", Some(median(rates)), RATE),
            at_most("MiB above an idle process", Some(median(peaks) - idle), MIB),
            at_most(
                "memory of redis / bytes of the frames",
                Some(overhead),
                OVERHEAD,
            ),
        ],
    })
}

async fn one_by_one() -> anyhow::Result<Trial> {
    let redis = Redis::start().await;
    send(&redis, work(ONE_BY_ONE, Load::Await)).await?;
    let overhead = overhead(&redis).await?;
    Ok(Trial {
        name: "journal, one event in each frame".to_owned(),
        figures: vec![at_most(
            "memory of redis / bytes of the frames",
            Some(overhead),
            OVERHEAD,
        )],
    })
}

fn work(events: u64, load: Load) -> Work {
    Work {
        events,
        load,
        is_catching_up: true,
        ..Work::default()
    }
}

async fn send(redis: &Redis, work: Work) -> anyhow::Result<()> {
    let mut sending = start_senders(Peer::JournalJson, &endpoint(redis)?, work)?;
    let _: Vec<Sent> = results(&mut sending).await?;
    Ok(())
}

/// The peak memory of a process that reads an empty journal.
async fn idle_mib(redis: &Redis) -> anyhow::Result<f64> {
    let work = work(1, Load::Feed);
    let idle = start_subscribers(Peer::JournalJson, &endpoint(redis)?, work, 1).await?;
    sleep(IDLE_FOR).await;
    let id = idle.first().and_then(Process::id);
    let id = id.context("an idle process has a process id")?;
    Ok(rss_kib_of(&id.to_string()) as f64 / 1024.0)
}

/// The memory of Redis for one byte of the frames.
async fn overhead(redis: &Redis) -> anyhow::Result<f64> {
    let key = format!("tidings:{{{LARGE_JOURNAL}}}:journal");
    let used = redis
        .command(&["MEMORY", "USAGE", &key, "SAMPLES", "0"])
        .await;
    let frames = redis.command(&["EVAL", BYTES_OF_FRAMES, "1", &key]).await;
    match (used, frames) {
        (Value::Int(used), Value::Int(frames)) => Ok(used as f64 / frames as f64),
        other => bail!("redis answers {other:?}"),
    }
}
