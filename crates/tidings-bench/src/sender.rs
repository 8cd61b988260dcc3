//! The process that sends, in one of four ways.

use std::time::Duration;

use clap::Subcommand;
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};
use tidings::prelude::*;

use crate::clock::{cpu_ns, now_ns};
use crate::hearer::rss_kib;
use crate::order::{Envelope, NAME, OrderPlaced};
use crate::plan::{CHANNEL, Peer};

/// How many sends the redis crate has under way at once, and how many tasks await theirs.
const TASKS: u32 = 256;

/// How a run sends.
#[derive(Clone, Copy, Debug, Subcommand, PartialEq)]
pub(crate) enum Load {
    /// One task that awaits each send.
    Await,
    /// 256 tasks that each await theirs.
    Tasks,
    /// As fast as possible without awaiting each.
    Feed,
    /// So many a second, whatever happens.
    Rate {
        /// Events a second.
        per_second: u64,
    },
}

impl Load {
    /// The words that ask a copy of this program for it.
    pub(crate) fn words(self) -> Vec<&'static str> {
        match self {
            Self::Await => vec!["await"],
            Self::Tasks => vec!["tasks"],
            Self::Feed => vec!["feed"],
            Self::Rate { per_second } => vec!["rate", per_second.to_string().leak()],
        }
    }

    /// How many senders in one there are, each with an order of its own.
    pub(crate) fn lanes(self) -> u64 {
        if self == Self::Tasks {
            u64::from(TASKS)
        } else {
            1
        }
    }
}

/// What the sending process measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) first_ns: u64,
    pub(crate) cpu_ns: u64,
    pub(crate) rss_kib: u64,
}

pub(crate) async fn send(peer: Peer, url: &str, events: u64, load: Load) -> anyhow::Result<()> {
    let (first_ns, cpu_before) = match peer {
        Peer::Redis => send_redis(url, events, load).await?,
        Peer::Json => send_tidings(url, Format::Json, events, load).await?,
        Peer::Msgpack => send_tidings(url, Format::MessagePack, events, load).await?,
    };
    let sent = Sent {
        first_ns,
        cpu_ns: cpu_ns() - cpu_before,
        rss_kib: rss_kib(),
    };
    println!("{}", serde_json::to_string(&sent)?);
    Ok(())
}

async fn send_tidings(
    url: &str,
    format: Format,
    events: u64,
    load: Load,
) -> anyhow::Result<(u64, u64)> {
    let bus = Bus::builder(url).format(format).start().await?;
    let (start, cpu) = (now_ns(), cpu_ns());
    match load {
        Load::Await => {
            for order in 0..events {
                bus.send_to_all(NAME, &OrderPlaced::new(order)).await?;
            }
        }
        Load::Tasks => {
            let tasks = (0..TASKS).map(|task| {
                let bus = bus.clone();
                tokio::spawn(async move {
                    for order in (u64::from(task)..events).step_by(TASKS as usize) {
                        bus.send_to_all(NAME, &OrderPlaced::new(order)).await?;
                    }
                    anyhow::Ok(())
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await??;
            }
        }
        Load::Feed => {
            for order in 0..events {
                bus.feed(NAME, &OrderPlaced::new(order)).await?;
            }
        }
        Load::Rate { per_second } => {
            let mut pace = Pace::new(per_second);
            for order in 0..events {
                pace.wait().await;
                bus.feed(NAME, &OrderPlaced::new(order)).await?;
            }
        }
    }
    bus.flush().await?;
    Ok((start, cpu))
}

async fn send_redis(url: &str, events: u64, load: Load) -> anyhow::Result<(u64, u64)> {
    let client = redis::Client::open(url)?;
    let connection = client.get_multiplexed_async_connection().await?;
    let (start, cpu) = (now_ns(), cpu_ns());
    match load {
        Load::Await => {
            for order in 0..events {
                publish(connection.clone(), order).await;
            }
        }
        // The crate has no way to send without an answer: 256 in flight is how to use it well.
        Load::Tasks | Load::Feed => {
            let mut under_way = FuturesUnordered::new();
            for order in 0..events {
                if under_way.len() == TASKS as usize {
                    under_way.next().await;
                }
                under_way.push(publish(connection.clone(), order));
            }
            while under_way.next().await.is_some() {}
        }
        Load::Rate { per_second } => {
            let mut pace = Pace::new(per_second);
            let mut under_way = FuturesUnordered::new();
            let mut order = 0;
            while order < events {
                tokio::select! {
                    biased;
                    () = pace.wait(), if under_way.len() < TASKS as usize => {
                        under_way.push(publish(connection.clone(), order));
                        order += 1;
                    }
                    Some(()) = under_way.next() => {}
                }
            }
            while under_way.next().await.is_some() {}
        }
    }
    Ok((start, cpu))
}

async fn publish(mut connection: MultiplexedConnection, order: u64) {
    let envelope = Envelope::OrderPlaced(OrderPlaced::new(order));
    let text = serde_json::to_vec(&envelope).expect("an order can be written");
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(CHANNEL).arg(text);
    publish
        .exec_async(&mut connection)
        .await
        .expect("redis takes it");
}

/// Gives the events of an open loop their times, in millisecond steps as the timer has them.
struct Pace {
    start: tokio::time::Instant,
    per_second: u64,
    given: u64,
}

impl Pace {
    fn new(per_second: u64) -> Self {
        Self {
            start: tokio::time::Instant::now(),
            per_second,
            given: 0,
        }
    }

    async fn wait(&mut self) {
        let due = Duration::from_nanos(self.given * 1_000_000_000 / self.per_second);
        if self.start.elapsed() < due {
            tokio::time::sleep_until(self.start + due).await;
        }
        self.given += 1;
    }
}
