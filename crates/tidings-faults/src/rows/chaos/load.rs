//! Load on shared state: a counter, a value that all processes update, and a map whose entries are
//! watched. The results are recorded for the audit.

use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};
use tidings::{Bus, Counter, EntryState, Shared, SharedMap};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::oracle::{Steps, Values};

const COUNTER: &str = "count";
const VALUE: &str = "sum";
const MAP: &str = "cells";
const CELLS: u64 = 16;

/// The tasks that count at the same time. They are more than a connection's pipeline has places, so
/// that after a reconnect these commands compete with those of the bus.
pub(in crate::rows) const COUNTING: usize = 60;

/// The pause after a successful call, and after a failed one.
const PAUSE_COUNTING: Duration = Duration::from_millis(150);
const PAUSE: Duration = Duration::from_millis(25);

/// The tasks of one process.
pub(in crate::rows) struct Load {
    ending: Arc<AtomicBool>,
    counting: Vec<JoinHandle<Steps>>,
    updating: JoinHandle<Steps>,
    changing: JoinHandle<u64>,
    value: Shared<u64>,
    map: SharedMap<u64, u64>,
    watched: Arc<Mutex<Values>>,
    watching: Vec<JoinHandle<()>>,
}

/// The results of one process.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::rows) struct Loaded {
    pub(in crate::rows) counted: Steps,
    pub(in crate::rows) updated: Steps,
    /// Confirmed changes of the map.
    pub(in crate::rows) changes: u64,
}

/// The copies of one process.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::rows) struct Copies {
    pub(in crate::rows) at_hand: Values,
    /// The last values that its watchers saw.
    pub(in crate::rows) watched: Values,
}

/// The values in Redis.
pub(in crate::rows) struct Held {
    pub(in crate::rows) counter: u64,
    pub(in crate::rows) sum: u64,
    pub(in crate::rows) values: Values,
}

impl Load {
    /// Starts the tasks: the counter on the sending bus, with this many tasks, the rest on the
    /// receiving one.
    pub(in crate::rows) fn start(
        receiving: &Bus,
        sending: &Bus,
        counting: usize,
        seed: u64,
    ) -> Result<Self> {
        let ending = Arc::new(AtomicBool::new(false));
        let counter = sending.counter(COUNTER)?;
        let value = receiving.shared::<u64>(VALUE)?;
        let map = receiving.map::<u64, u64>(MAP)?;
        let watched = Arc::default();
        let watching = watch(&value, &map, &watched);
        let count = |_| tokio::spawn(count(counter.clone(), Arc::clone(&ending)));
        Ok(Self {
            counting: (0..counting).map(count).collect(),
            updating: tokio::spawn(update(value.clone(), Arc::clone(&ending))),
            changing: tokio::spawn(change(map.clone(), seed, Arc::clone(&ending))),
            ending,
            value,
            map,
            watched,
            watching,
        })
    }

    /// Ends all tasks but the watchers.
    pub(in crate::rows) async fn end(&mut self) -> Loaded {
        self.ending.store(true, Relaxed);
        let mut loaded = Loaded::default();
        for steps in join_all(self.counting.drain(..))
            .await
            .into_iter()
            .flatten()
        {
            loaded.counted.confirmed.extend(steps.confirmed);
            loaded.counted.in_doubt += steps.in_doubt;
        }
        loaded.updated = (&mut self.updating).await.unwrap_or_default();
        loaded.changes = (&mut self.changing).await.unwrap_or_default();
        loaded
    }

    /// Returns the copies of this process.
    pub(in crate::rows) async fn copies(&self) -> Result<Copies> {
        let mut at_hand = Values::new();
        let sum = self.value.peek().context("the value has no local copy")?;
        at_hand.insert(VALUE.to_owned(), sum.value().map(|sum| **sum));
        for cell in 0..CELLS {
            let value = self.map.get(&cell).await?;
            at_hand.insert(name_of(cell), value.map(|value| *value));
        }
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Copies {
            at_hand,
            watched: watched.clone(),
        })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.watching.iter().for_each(JoinHandle::abort);
    }
}

async fn count(counter: Counter, ending: Arc<AtomicBool>) -> Steps {
    let mut steps = Steps::default();
    while !ending.load(Relaxed) {
        match counter.add(1).await {
            Ok(sum) => {
                steps.confirmed.push(sum.unsigned_abs());
                sleep(PAUSE_COUNTING).await;
            }
            Err(error) => {
                steps.in_doubt += u64::from(error.is_unknown());
                sleep(PAUSE).await;
            }
        }
    }
    steps
}

async fn update(value: Shared<u64>, ending: Arc<AtomicBool>) -> Steps {
    let mut steps = Steps::default();
    while !ending.load(Relaxed) {
        match value.update(|old| old.map_or(1, |old| old + 1)).await {
            Ok(new) => steps.confirmed.extend(new.value().map(|new| **new)),
            Err(error) => steps.in_doubt += u64::from(error.is_unknown()),
        }
        sleep(PAUSE).await;
    }
    steps
}

async fn change(map: SharedMap<u64, u64>, seed: u64, ending: Arc<AtomicBool>) -> u64 {
    let mut random = StdRng::seed_from_u64(seed);
    let mut changes = 0;
    while !ending.load(Relaxed) {
        let cell = random.random_range(0..CELLS);
        let value = random.random_range(0..1_000_000);
        let changed = match random.random_range(0..8) {
            0 => map.remove(&cell).await,
            1..=4 => map.set(&cell, &value).await,
            _ => {
                let next = |old: Option<&u64>| old.map_or(value, |old| old + 1);
                map.update(&cell, next).await.map(drop)
            }
        };
        changes += u64::from(changed.is_ok());
        sleep(PAUSE).await;
    }
    changes
}

fn watch(
    value: &Shared<u64>,
    map: &SharedMap<u64, u64>,
    watched: &Arc<Mutex<Values>>,
) -> Vec<JoinHandle<()>> {
    let keep = |name: String| {
        let watched = Arc::clone(watched);
        move |value: Option<u64>| {
            let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
            watched.insert(name.clone(), value);
            ready(())
        }
    };
    let sums = value.watch().map(|now| now.value().map(|sum| **sum));
    let mut watching = vec![tokio::spawn(sums.for_each(keep(VALUE.to_owned())))];
    for cell in 0..CELLS {
        // An unreadable entry is read again; only the result is compared.
        let readable = async |latest| match latest {
            EntryState::Present(value) => Some(Some(*value)),
            EntryState::Absent => Some(None),
            _ => None,
        };
        let values = map.watch(&cell).filter_map(readable);
        watching.push(tokio::spawn(values.for_each(keep(name_of(cell)))));
    }
    watching
}

fn name_of(cell: u64) -> String {
    format!("cell {cell}")
}

impl Held {
    /// Reads all values.
    pub(in crate::rows) async fn read(redis: &mut MultiplexedConnection) -> Result<Self> {
        let key = |kind: &str, name: &str| format!("tidings:{{default}}:{kind}:{name}");
        let mut get = redis::cmd("GET");
        let counter: Option<u64> = get.arg(key("counter", COUNTER)).query_async(redis).await?;
        let mut get = redis::cmd("HGET");
        get.arg(key("shared", VALUE)).arg("value");
        let sum: Option<u64> = get.query_async(redis).await?;
        let mut values = Values::from([(VALUE.to_owned(), sum)]);
        for cell in 0..CELLS {
            let mut get = redis::cmd("HGET");
            get.arg(key("map", MAP)).arg(cell);
            // `json VERSION NONCE PAYLOAD`
            let entry: Option<String> = get.query_async(redis).await?;
            let payload = entry.as_deref().and_then(|entry| entry.split(' ').nth(3));
            let value = payload.map(str::parse).transpose()?;
            values.insert(name_of(cell), value);
        }
        Ok(Self {
            counter: counter.unwrap_or(0),
            sum: sum.unwrap_or(0),
            values,
        })
    }
}
