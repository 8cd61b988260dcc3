//! The buses of a round: senders, and subscribers that record what they receive.

use std::future::ready;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tidings::{Bus, BusBuilder, Context, Gap, GapReason, Journal, JournalPosition};
use tidings_testkit::wait_for;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::log::{Handled, Reason, Record, Reported, SenderLog, SubscriberLog, Told};
use super::process::DurableProcess;
use super::remains::EVENT;
use super::servers::Servers;
use crate::script::INTERVAL;

/// The buses of each kind. The last one of each stays with the old master during a split.
const SENDERS: usize = 3;
const SUBSCRIBERS: usize = 4;

/// All buses of a round. One more subscriber has a durable name.
pub const BUSES: usize = SUBSCRIBERS + SENDERS + 1;
const DURABLE: usize = SUBSCRIBERS + SENDERS;
const NAME: &str = "books";

/// The tasks of a sender, so that several frames are under way.
const LANES: usize = 2;

/// The most events that a task sends at once: they are in one frame, or in two.
const BURST: u64 = 8;

/// One event of this many has ballast, and its bytes: pages of the journal are cut within it.
const BALLAST_OF: u32 = 100;
const BALLAST: usize = 6_000;

/// The send timeouts of the senders. The short one is shorter than many faults, so that some sends
/// fail.
const SEND_TIMEOUTS: [Duration; SENDERS] = [
    Duration::from_secs(30),
    Duration::from_millis(400),
    Duration::from_secs(4),
];

/// The time limit of steps that are not measured.
const PATIENCE: Duration = Duration::from_secs(30);

/// The buses of a round.
#[derive(Debug)]
pub struct Fleet {
    senders: Vec<Sender>,
    /// The one with a durable name is the last.
    subscribers: Vec<Subscriber>,
    /// The address of that one, and its retention.
    durable: (String, Option<Duration>),
    /// Another subscriber with a durable name, in a process of its own.
    process: Option<DurableProcess>,
    sent: Arc<AtomicU64>,
    began: Instant,
}

impl Fleet {
    /// Starts the subscribers, then the senders, which send this many events a second together.
    ///
    /// # Errors
    ///
    /// When a bus or a process does not start, or is not ready in time.
    pub async fn start(
        servers: &Servers,
        rate: u64,
        retention: Option<Duration>,
        seed: u64,
    ) -> Result<Self> {
        let began = Instant::now();
        let (mut subscribers, mut senders) = (Vec::new(), Vec::new());
        let sent = Arc::new(AtomicU64::new(0));
        for bus in 0..SUBSCRIBERS {
            let url = servers.url(bus, bus == SUBSCRIBERS - 1);
            let builder = describe(&url, retention, None);
            subscribers.push(Subscriber::start(builder, format!("{bus}"), began).await?);
        }
        let durable = (servers.url(DURABLE, false), retention);
        let builder = describe(&durable.0, durable.1, Some(NAME));
        let mut reader = Subscriber::start(builder, NAME.to_owned(), began).await?;
        reader.is_durable = true;
        subscribers.push(reader);
        for (bus, timeout) in SEND_TIMEOUTS.into_iter().enumerate() {
            let url = servers.url(SUBSCRIBERS + bus, bus == SENDERS - 1);
            let lanes = (SENDERS * LANES) as u64;
            let pause = Duration::from_micros(1_000_000 * lanes * (1 + BURST) / 2 / rate.max(1));
            let random = StdRng::seed_from_u64(seed ^ bus as u64);
            let builder = describe(&url, retention, None).send_timeout(timeout);
            senders.push(Sender::start(builder, &sent, pause, random).await?);
        }
        let fleet = Self {
            senders,
            subscribers,
            durable,
            process: None,
            sent,
            began,
        };
        fleet.flows().await;
        Ok(fleet)
    }

    /// Returns the time since the start.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns the number of events that were sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Makes the next call of one subscriber's handler take this long.
    pub fn slow_down(&self, subscriber: usize, time: Duration) {
        let subscriber = &self.subscribers[subscriber % SUBSCRIBERS];
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or_default();
        subscriber.stalls_for.store(milliseconds, Relaxed);
    }

    /// Shuts down the subscriber with the durable name, and starts it again.
    ///
    /// # Errors
    ///
    /// When a bus or a process does not start, or is not ready in time.
    pub async fn restart_durable(&mut self) -> Result<()> {
        let Some(reader) = self.subscribers.last_mut() else {
            return Ok(());
        };
        reader.bus.shutdown(Duration::from_secs(5)).await?;
        lock(&reader.records).push(Record::Restarted);
        let builder = describe(&self.durable.0, self.durable.1, Some(NAME));
        reader.bus = reader.start_again(builder, self.began).await?;
        Ok(())
    }

    /// Starts a subscriber with a durable name in a process of its own, with these arguments.
    ///
    /// # Errors
    ///
    /// When a bus or a process does not start, or is not ready in time.
    pub async fn start_process(&mut self, role: [&str; 2]) -> Result<()> {
        let process = DurableProcess::start(role, &self.durable.0, self.began);
        self.process = Some(process.await?);
        Ok(())
    }

    /// Kills that process, and starts another one.
    ///
    /// # Errors
    ///
    /// When a bus or a process does not start, or is not ready in time.
    pub async fn kill_process(&mut self) -> Result<()> {
        match &mut self.process {
            Some(process) => process.kill_and_restart().await,
            None => Ok(()),
        }
    }

    /// Lets the first sender send nothing more, not even a last event.
    pub fn silence(&self) {
        self.senders[0].is_ending.store(true, Relaxed);
    }

    /// The same, after a while.
    pub fn silence_after(&self, time: Duration) {
        let is_ending = Arc::clone(&self.senders[0].is_ending);
        tokio::spawn(async move {
            sleep(time).await;
            is_ending.store(true, Relaxed);
        });
    }

    /// Waits until each subscriber has received an event of each sender.
    async fn flows(&self) {
        for subscriber in &self.subscribers {
            for sender in &self.senders {
                let id = sender.bus.id();
                wait_for("events are received", PATIENCE, async || {
                    subscriber.has_received(id)
                })
                .await;
            }
        }
    }

    /// Waits until all buses are connected.
    ///
    /// # Errors
    ///
    /// When a bus or a process does not start, or is not ready in time.
    pub async fn all_are_ready(&self) -> Result<()> {
        let began = Instant::now();
        while !self.buses().all(Bus::is_ready) {
            ensure!(began.elapsed() < PATIENCE, "not all buses reconnected");
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Ends all sends, and returns the results. All senders but the first one send a last event.
    pub async fn end_sending(&mut self) -> Vec<SenderLog> {
        join_all((0..).zip(&mut self.senders).map(async |(index, sender)| {
            let is_silent = index == 0;
            SenderLog {
                id: sender.bus.id(),
                told: sender.end(is_silent).await,
                is_silent,
            }
        }))
        .await
    }

    /// Returns what the subscribers received so far.
    pub fn logs(&self) -> Vec<SubscriberLog> {
        let logs = self.subscribers.iter().map(Subscriber::log);
        logs.chain(self.process.as_ref().map(DurableProcess::log))
            .collect()
    }

    /// Shuts all buses down, and returns the errors.
    pub async fn shut_down(self) -> Vec<String> {
        let ends = self.buses().map(|bus| bus.shutdown(Duration::from_secs(5)));
        let ended = join_all(ends).await.into_iter();
        ended
            .filter_map(|ended| Some(tidings::report(&ended.err()?).to_string()))
            .collect()
    }

    fn buses(&self) -> impl Iterator<Item = &Bus> {
        let senders = self.senders.iter().map(|sender| &sender.bus);
        senders.chain(self.subscribers.iter().map(|subscriber| &subscriber.bus))
    }
}

/// Describes a bus of a round.
fn describe(url: &str, retention: Option<Duration>, durable: Option<&str>) -> BusBuilder {
    let mut journal = Journal::default();
    if let Some(retention) = retention {
        journal = journal.max_age(retention);
    }
    if let Some(name) = durable {
        journal = journal.durable(name);
    }
    Bus::builder(url)
        .journal(journal)
        .heartbeat_interval(INTERVAL)
}

/// A bus that sends until it is ended.
#[derive(Debug)]
struct Sender {
    bus: Bus,
    told: Arc<Mutex<Vec<Told>>>,
    is_ending: Arc<AtomicBool>,
    lanes: Vec<JoinHandle<()>>,
}

impl Sender {
    async fn start(
        builder: BusBuilder,
        sent: &Arc<AtomicU64>,
        pause: Duration,
        mut random: StdRng,
    ) -> Result<Self> {
        // It has no handler that could miss an event.
        let bus = builder.on_gap(|_: Gap| ready(())).start().await?;
        let told = Arc::new(Mutex::new(Vec::new()));
        let is_ending = Arc::new(AtomicBool::new(false));
        let mut lanes = Vec::new();
        for _ in 0..LANES {
            let lane = SendLane {
                bus: bus.clone(),
                told: Arc::clone(&told),
                sent: Arc::clone(sent),
                is_ending: Arc::clone(&is_ending),
                random: StdRng::from_rng(&mut random),
                pause,
            };
            lanes.push(tokio::spawn(lane.send_until_ended()));
        }
        Ok(Self {
            bus,
            told,
            is_ending,
            lanes,
        })
    }

    async fn end(&mut self, is_silent: bool) -> Vec<Told> {
        self.is_ending.store(true, Relaxed);
        join_all(self.lanes.drain(..)).await;
        if !is_silent {
            send(&self.bus, &self.told, "").await;
        }
        lock(&self.told).clone()
    }
}

/// A task of a sender.
struct SendLane {
    bus: Bus,
    told: Arc<Mutex<Vec<Told>>>,
    sent: Arc<AtomicU64>,
    is_ending: Arc<AtomicBool>,
    random: StdRng,
    pause: Duration,
}

impl SendLane {
    async fn send_until_ended(mut self) {
        let ballast = "x".repeat(BALLAST);
        while !self.is_ending.load(Relaxed) {
            let burst = self.random.random_range(1..=BURST);
            let heavy = self.random.random_ratio(1, BALLAST_OF);
            let sends = (0..burst).map(|at| {
                let ballast = if heavy && at == 0 { &*ballast } else { "" };
                send(&self.bus, &self.told, ballast)
            });
            join_all(sends).await;
            self.sent.fetch_add(burst, Relaxed);
            sleep(self.random.random_range(Duration::ZERO..=self.pause * 2)).await;
        }
    }
}

/// Sends one event, and records its result.
async fn send(bus: &Bus, told: &Mutex<Vec<Told>>, ballast: &str) {
    let tick = {
        let mut told = lock(told);
        told.push(Told::Unknown);
        told.len() - 1
    };
    let result = match bus.send_to_all(EVENT, &(tick, ballast)).await {
        Ok(receipt) => Told::Accepted {
            number: receipt.sequence,
            position: receipt.position().unwrap_or(JournalPosition::START),
        },
        Err(error) if error.is_unknown() => Told::Unknown,
        Err(_) => Told::NotSent,
    };
    lock(told)[tick] = result;
}

/// A bus that records its events and gaps.
#[derive(Debug)]
struct Subscriber {
    name: String,
    is_durable: bool,
    bus: Bus,
    records: Arc<Mutex<Vec<Record>>>,
    /// Milliseconds that the next call of its handler takes.
    stalls_for: Arc<AtomicU64>,
}

impl Subscriber {
    async fn start(builder: BusBuilder, name: String, began: Instant) -> Result<Self> {
        let records = Arc::default();
        let stalls_for = Arc::new(AtomicU64::new(0));
        let builder = record(builder, &records, &stalls_for, began);
        let bus = builder.start().await.context("a subscriber cannot start")?;
        Ok(Self {
            name,
            is_durable: false,
            bus,
            records,
            stalls_for,
        })
    }

    /// Starts another bus in its place.
    async fn start_again(&self, builder: BusBuilder, began: Instant) -> Result<Bus> {
        let builder = record(builder, &self.records, &self.stalls_for, began);
        Ok(builder.start().await?)
    }

    fn has_received(&self, sender: tidings::NodeId) -> bool {
        let is_of_sender = |record: &Record| matches!(record, Record::Handled(handled) if handled.sender == sender);
        lock(&self.records).iter().rev().any(is_of_sender)
    }

    fn log(&self) -> SubscriberLog {
        SubscriberLog {
            name: self.name.clone(),
            is_durable: self.is_durable,
            records: lock(&self.records).clone(),
        }
    }
}

/// Adds handlers that record all events and gaps.
fn record(
    builder: BusBuilder,
    records: &Arc<Mutex<Vec<Record>>>,
    stalls_for: &Arc<AtomicU64>,
    began: Instant,
) -> BusBuilder {
    let (events, gaps) = (Arc::clone(records), Arc::clone(records));
    let stalls_for = Arc::clone(stalls_for);
    builder
        .on(EVENT, move |(tick, _): (u64, String), context: Context| {
            let handled = handled(tick, &context, began.elapsed());
            let events = Arc::clone(&events);
            let stall = stalls_for.swap(0, Relaxed);
            async move {
                if stall > 0 {
                    sleep(Duration::from_millis(stall)).await;
                }
                lock(&events).extend(handled.map(Record::Handled));
            }
        })
        .on_gap(move |gap: Gap| {
            let reported = reported(&gap, began.elapsed());
            lock(&gaps).push(Record::Reported(reported));
            ready(())
        })
}

fn handled(tick: u64, context: &Context, at: Duration) -> Option<Handled> {
    Some(Handled {
        sender: (*context.sender())?,
        number: context.sequence()?,
        tick,
        position: context.position()?,
        at,
    })
}

pub(super) fn reported(gap: &Gap, at: Duration) -> Reported {
    let reason = match &gap.reason {
        GapReason::Reconnected => Reason::Reconnected,
        GapReason::Missed => Reason::Missed,
        GapReason::Overflow { .. } => Reason::Overflow,
        GapReason::Trimmed => Reason::Trimmed,
        GapReason::JournalLost => Reason::JournalLost,
        GapReason::Diverged { forgotten: None } => Reason::Diverged,
        GapReason::Diverged {
            forgotten: Some(numbers),
        } => Reason::Forgotten(numbers.clone()),
        _ => Reason::Other,
    };
    Reported {
        sender: gap.sender,
        missed: gap.missed,
        reason,
        at,
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
