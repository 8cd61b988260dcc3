//! Foreign programs: senders with a fixed id that start again at 1, and a program that forges
//! frames in the names of others.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tidings::NodeId;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::oracle::{FORGED, Received, SendResult};
use crate::traffic::{CHANNEL, Sent, Subscriber};

/// The interval of a foreign sender's events.
const TICK: Duration = Duration::from_millis(20);

/// The number of events after which it starts again.
const STARTS_AGAIN: std::ops::Range<u64> = 50..400;

/// The interval of forged frames, in milliseconds.
const FORGES: std::ops::Range<u64> = 200..1_200;

/// The age of a replayed event, in events.
const REPLAYED: usize = 50;

/// A connection of a foreign program. It reconnects.
struct Line {
    url: String,
    connection: Option<MultiplexedConnection>,
}

impl Line {
    fn new(url: &str) -> Self {
        let url = url.to_owned();
        let connection = None;
        Self { url, connection }
    }

    /// Publishes a frame, and returns how many connections received it; `None` where that is
    /// unknown. It waits for the answer without a timeout: a command that was given up could be
    /// executed after the next one.
    async fn publish(&mut self, frame: &str) -> Option<u64> {
        let connection = match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.connect().await,
        };
        let mut connection = connection.ok()?;
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(CHANNEL).arg(frame);
        let receivers = publish.query_async(&mut connection).await.ok()?;
        self.connection = Some(connection);
        Some(receivers)
    }

    async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None);
        let client = redis::Client::open(&*self.url)?;
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }
}

fn frame(from: NodeId, seq: u64, events: &str) -> String {
    format!(r#"{{"v":1,"from":"{from}","seq":{seq},"events":[{events}]}}"#)
}

fn tick_event(tick: u64) -> String {
    format!(r#"{{"event":"tick","data":{tick}}}"#)
}

/// A task that runs until it is told to end.
pub(super) struct Program<T> {
    ending: Arc<AtomicBool>,
    task: JoinHandle<T>,
}

impl<T: Default> Program<T> {
    pub(super) async fn end(self) -> T {
        self.ending.store(true, Relaxed);
        self.task.await.unwrap_or_default()
    }
}

/// Starts a sender with a fixed id.
pub(super) fn start_sender(url: &str, id: NodeId, seed: u64) -> Program<Sent> {
    let ending = Arc::new(AtomicBool::new(false));
    let random = StdRng::seed_from_u64(seed);
    let sending = keep_sending(Line::new(url), id, random, Arc::clone(&ending));
    let task = tokio::spawn(sending);
    Program { ending, task }
}

async fn keep_sending(
    mut line: Line,
    id: NodeId,
    mut random: StdRng,
    ending: Arc<AtomicBool>,
) -> Sent {
    let mut clock = interval(TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = Sent::default();
    let mut starts_again = random.random_range(STARTS_AGAIN);
    let mut number = 1;
    while !ending.load(Relaxed) {
        clock.tick().await;
        let tick = sent.begin();
        let receivers = line.publish(&frame(id, number, &tick_event(tick))).await;
        if let (Some(_), Some(result)) = (receivers, sent.results.last_mut()) {
            *result = SendResult::Published { number, receivers };
        }
        number += 1;
        if number > starts_again {
            (number, starts_again) = (1, random.random_range(STARTS_AGAIN));
        }
    }
    sent
}

/// The forged frames.
#[derive(Debug, Default)]
pub(super) struct Forged {
    pub(super) frames: u64,
    /// By victim, the numbers of its events that were forged again.
    pub(super) copied: HashMap<NodeId, BTreeSet<u64>>,
}

/// Starts a program that forges frames in the names of these senders. It learns their numbers from
/// the events of `observer`.
pub(super) fn start_forger(
    url: &str,
    victims: Vec<NodeId>,
    observer: Subscriber,
    seed: u64,
) -> Program<Forged> {
    let ending = Arc::new(AtomicBool::new(false));
    let random = StdRng::seed_from_u64(seed);
    let forging = keep_forging(
        Line::new(url),
        victims,
        observer,
        random,
        Arc::clone(&ending),
    );
    let task = tokio::spawn(forging);
    Program { ending, task }
}

async fn keep_forging(
    mut line: Line,
    victims: Vec<NodeId>,
    observer: Subscriber,
    mut random: StdRng,
    ending: Arc<AtomicBool>,
) -> Forged {
    let mut forged = Forged::default();
    for victim in &victims {
        forged.copied.entry(*victim).or_default();
    }
    while !ending.load(Relaxed) {
        sleep(Duration::from_millis(random.random_range(FORGES))).await;
        let victim = victims[random.random_range(0..victims.len())];
        let (kind, before) = (random.random_range(0..5), random.random_range(0..REPLAYED));
        let (Some(last), Some(old)) =
            (observer.last_of(victim), observer.newest_of(victim, before))
        else {
            continue;
        };
        let frame = forge(kind, victim, last, old, &mut forged);
        forged.frames += u64::from(line.publish(&frame).await.is_some());
    }
    forged
}

fn forge(kind: u32, victim: NodeId, last: Received, old: Received, forged: &mut Forged) -> String {
    let next = last.number.saturating_add(1);
    match kind {
        // Its next events seem to be there already.
        0 => frame(victim, next, &nothing(1_000)),
        // It seems to be far ahead,
        1 => frame(victim, next.saturating_add(65_000), ""),
        // or far behind.
        2 => frame(victim, 1, &nothing(3)),
        // An event under its next number.
        3 => frame(victim, next, &tick_event(FORGED + forged.frames)),
        // One of its own events again.
        _ => {
            let copied = forged.copied.entry(victim).or_default();
            copied.insert(old.number);
            frame(victim, old.number, &tick_event(old.tick))
        }
    }
}

/// Events without a handler.
fn nothing(events: usize) -> String {
    let mut text = String::new();
    for event in 0..events {
        let comma = if event == 0 { "" } else { "," };
        let _ = write!(text, r#"{comma}{{"event":"x"}}"#);
    }
    text
}
