//! The process that hears: checks that nothing is lost, repeated or out of order, and measures.

use std::cmp::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tidings::prelude::*;
use tokio::sync::Notify;

use crate::clock::{cpu_ns, now_ns};
use crate::order::{Envelope, NAME, OrderPlaced};
use crate::plan::{CHANNEL, Peer};

/// How long nothing may come before a run is given up.
const SILENCE: Duration = Duration::from_secs(5);

/// What the hearing process measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Heard {
    pub(crate) heard: u64,
    pub(crate) misordered: u64,
    pub(crate) last_ns: u64,
    pub(crate) cpu_ns: u64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) rss_kib: u64,
}

/// Counts events; cheap enough not to disturb what it measures.
#[derive(Debug)]
struct Tally {
    events: u64,
    /// The next order of each lane: the tasks that send at once are in order each by itself.
    next: Vec<u64>,
    heard: u64,
    misordered: u64,
    last_ns: u64,
    latencies: Vec<u32>,
}

impl Tally {
    fn count(&mut self, order: &OrderPlaced) -> bool {
        self.heard += 1;
        let lanes = self.next.len() as u64;
        let next = &mut self.next[usize::try_from(order.order_id % lanes).unwrap_or(0)];
        match order.order_id.cmp(next) {
            Ordering::Less => self.misordered += 1,
            Ordering::Equal | Ordering::Greater => *next = order.order_id + lanes,
        }
        // A clock per event would cost as much as some of what is measured: one in eight will do.
        if self.heard.is_multiple_of(8) || self.events < 100_000 {
            self.last_ns = now_ns();
            let latency = self.last_ns.saturating_sub(order.sent_ns);
            self.latencies
                .push(u32::try_from(latency / 10).unwrap_or(u32::MAX));
        }
        let is_over = self.heard >= self.events;
        if is_over {
            self.last_ns = now_ns();
        }
        is_over
    }

    fn result(&mut self, cpu_ns: u64) -> Heard {
        // What comes while everything is still warming up says nothing.
        self.latencies.drain(..self.latencies.len() / 20);
        self.latencies.sort_unstable();
        Heard {
            heard: self.heard,
            misordered: self.misordered,
            last_ns: self.last_ns,
            cpu_ns,
            p50_us: self.percentile(50),
            p99_us: self.percentile(99),
            rss_kib: rss_kib(),
        }
    }

    fn percentile(&self, percent: usize) -> f64 {
        let index = self.latencies.len() * percent / 100;
        self.latencies
            .get(index)
            .map_or(0.0, |latency| f64::from(*latency) / 100.0)
    }
}

pub(crate) async fn hear(peer: Peer, url: &str, events: u64, lanes: u64) -> anyhow::Result<()> {
    let tally = Tally {
        events,
        next: (0..lanes).collect(),
        heard: 0,
        misordered: 0,
        last_ns: 0,
        latencies: Vec::new(),
    };
    let tally = Arc::new(Mutex::new(tally));
    let over = Arc::new(Notify::new());
    let hearing = match peer {
        Peer::Redis => tokio::spawn(hear_redis(url.to_owned(), Arc::clone(&tally), over.clone())),
        Peer::Json | Peer::Msgpack => {
            hear_tidings(url, Arc::clone(&tally), Arc::clone(&over)).await?
        }
    };
    wait(&tally, &over).await;
    hearing.abort();
    let heard = tally
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .result(cpu_ns());
    println!("{}", serde_json::to_string(&heard)?);
    Ok(())
}

/// Waits until all was heard, or nothing comes any more.
async fn wait(tally: &Mutex<Tally>, over: &Notify) {
    let mut before = 0;
    while tokio::time::timeout(SILENCE, over.notified())
        .await
        .is_err()
    {
        let heard = tally.lock().unwrap_or_else(PoisonError::into_inner).heard;
        if heard == before && heard > 0 {
            return;
        }
        before = heard;
    }
}

async fn hear_tidings(
    url: &str,
    tally: Arc<Mutex<Tally>>,
    over: Arc<Notify>,
) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let bus = Bus::builder(url).start().await?;
    bus.on(NAME, move |order: OrderPlaced| {
        if tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count(&order)
        {
            over.notify_one();
        }
        std::future::ready(())
    })?;
    println!("ready");
    Ok(tokio::spawn(async move {
        let _bus = bus;
        std::future::pending::<()>().await;
    }))
}

async fn hear_redis(url: String, tally: Arc<Mutex<Tally>>, over: Arc<Notify>) {
    let client = redis::Client::open(url).expect("the plan made the address");
    let mut hearing = client
        .get_async_pubsub()
        .await
        .expect("the plan started a redis");
    hearing
        .subscribe(CHANNEL)
        .await
        .expect("nobody forbids the channel");
    println!("ready");
    let mut frames = hearing.on_message();
    while let Some(frame) = frames.next().await {
        let envelope = serde_json::from_slice(frame.get_payload_bytes());
        let Envelope::OrderPlaced(order) = envelope.expect("the sender wrote it") else {
            continue;
        };
        if tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count(&order)
        {
            over.notify_one();
        }
    }
}

/// The memory that this process holds, in KiB.
pub(crate) fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
