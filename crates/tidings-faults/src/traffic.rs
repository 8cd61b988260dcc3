//! Buses that send continuously, buses that record what they receive, and the account of both.

use std::future::ready;
use std::iter;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tidings::{Bus, BusBuilder, Context, Gap, GapReason, NodeId};
pub(crate) use tidings_faults::disrupt::CHANNEL;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::clock::micros;
use crate::oracle::{
    Account, GapReport, Micros, Receipt, Received, SendResult, SubscriberLog, published_to_nobody,
};

/// The time between two events of a sender: a hundred a second.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The time limit of steps that are not measured.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The interval of the checks whether every event is accounted for, and their time limit.
const SETTLE_LOOK: Duration = Duration::from_millis(100);
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// The interval of the checks of a condition that cannot be awaited.
const LOOK: Duration = Duration::from_millis(1);

/// The senders and subscribers of a trial.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) senders: Vec<Sender>,
    pub(crate) subscribers: Vec<Subscriber>,
}

/// The account of a trial.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    /// Events that were lost and reported, of all subscribers.
    pub(crate) lost: u64,
    /// Events that were received.
    pub(crate) received: u64,
    /// Sends that were reported as published although no connection received them.
    pub(crate) published_to_nobody: usize,
    /// The duration of the longest send.
    pub(crate) longest_send: Duration,
    pub(crate) findings: Vec<String>,
    /// The results of each sender.
    pub(crate) sent: Vec<(NodeId, Sent)>,
}

impl Traffic {
    /// Starts the subscribers, then the senders, each with a bus on its address.
    pub(crate) async fn start(
        subscribers: &[String],
        senders: &[String],
        describe: impl Fn(BusBuilder) -> BusBuilder,
    ) -> Result<Self> {
        let mut all = Self {
            senders: Vec::new(),
            subscribers: Vec::new(),
        };
        for url in subscribers {
            all.subscribers
                .push(Subscriber::start(describe(Bus::builder(url))).await?);
        }
        for url in senders {
            all.senders
                .push(Sender::start(describe(Bus::builder(url))).await?);
        }
        all.flows().await?;
        Ok(all)
    }

    /// Waits until each subscriber has received a new event of each sender.
    pub(crate) async fn flows(&self) -> Result<()> {
        let since = Instant::now();
        for subscriber in &self.subscribers {
            for sender in &self.senders {
                let from = sender.bus.id();
                let received = || {
                    subscriber
                        .lock()
                        .received_since(since)
                        .any(|received| received.from == from)
                };
                until(|| received().then_some(()))
                    .await
                    .context("a subscriber received nothing from a sender")?;
            }
        }
        Ok(())
    }

    /// Ends the traffic, waits until all of it is accounted for, and checks the account. The buses
    /// stay, idle.
    pub(crate) async fn settle(&mut self) -> Balance {
        let mut balance = Balance::default();
        let all_sent = join_all(self.senders.iter_mut().map(Sender::end)).await;
        let ids: Vec<_> = self.senders.iter().map(|sender| sender.bus.id()).collect();
        let senders: Vec<_> = ids.iter().copied().zip(&all_sent).collect();
        let pairs = self.subscribers.iter().flat_map(|subscriber| {
            let pair = move |(from, sent)| (subscriber, from, sent);
            senders.iter().copied().map(pair)
        });
        let settle = async |(subscriber, from, sent): (&Subscriber, NodeId, &Sent)| {
            subscriber.settles(from, &sent.results).await;
        };
        join_all(pairs.map(settle)).await;
        for (from, sent) in senders {
            balance.longest_send = balance.longest_send.max(sent.longest);
            balance.published_to_nobody += published_to_nobody(&sent.results);
            for (index, subscriber) in self.subscribers.iter().enumerate() {
                subscriber.add_to(&mut balance, index, from, &sent.results);
            }
        }
        balance.sent = ids.into_iter().zip(all_sent).collect();
        balance
    }

    /// Shuts all buses down, and returns their errors.
    pub(crate) async fn shut_down(self) -> Vec<String> {
        let mut complaints = Vec::new();
        for bus in self.buses() {
            if let Err(error) = bus.shutdown(Duration::from_secs(5)).await {
                complaints.push(tidings::report(&error).to_string());
            }
        }
        complaints
    }

    /// Settles, and shuts down.
    pub(crate) async fn end(mut self) -> Balance {
        let mut balance = self.settle().await;
        balance.findings.extend(self.shut_down().await);
        balance
    }

    /// Returns all buses.
    pub(crate) fn buses(&self) -> impl Iterator<Item = &Bus> {
        let senders = self.senders.iter().map(|sender| &sender.bus);
        senders.chain(self.subscribers.iter().map(|subscriber| &subscriber.bus))
    }
}

/// A bus that sends numbered ticks until it is stopped.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) bus: Bus,
    stop: Arc<Notify>,
    sending: JoinHandle<Sent>,
}

/// The results of a sender.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// By tick.
    pub(crate) results: Vec<SendResult>,
    /// The start of each send.
    pub(crate) begun: Vec<Micros>,
    pub(crate) longest: Duration,
}

impl Sender {
    pub(crate) async fn start(builder: BusBuilder) -> Result<Self> {
        // It has no handler that could miss an event.
        let bus = builder.on_gap(|_: Gap| ready(())).start().await?;
        let stop = Arc::new(Notify::new());
        let sending = tokio::spawn(send_until(bus.clone(), Arc::clone(&stop)));
        Ok(Self { bus, stop, sending })
    }

    /// Stops sending, and waits for the result of every send.
    pub(crate) async fn end(&mut self) -> Sent {
        self.stop.notify_one();
        (&mut self.sending).await.unwrap_or_default()
    }
}

async fn send_until(bus: Bus, stop: Arc<Notify>) -> Sent {
    let mut clock = interval(TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut under_way = FuturesUnordered::new();
    let mut sent = Sent::default();
    let send = async |tick: u64| {
        let begun = Instant::now();
        let result = match bus.send_to_all("tick", &tick).await {
            Ok(receipt) => SendResult::Published {
                number: receipt.sequence,
                receivers: receipt.receivers,
            },
            Err(error) if error.is_unknown() => SendResult::Unknown,
            Err(_) => SendResult::NotSent,
        };
        (tick, result, begun.elapsed())
    };
    loop {
        tokio::select! {
            () = stop.notified() => break,
            _ = clock.tick() => {
                under_way.push(send(sent.begin()));
            }
            Some(ended) = under_way.next() => sent.keep(ended),
        }
    }
    // All is healthy by now, so the number of this event, the last one, is known.
    under_way.push(send(sent.begin()));
    while let Some(ended) = under_way.next().await {
        sent.keep(ended);
    }
    sent
}

impl Sent {
    /// Returns the tick of another event, whose result is unknown until its send ends.
    pub(crate) fn begin(&mut self) -> u64 {
        let tick = self.results.len() as u64;
        self.results.push(SendResult::Unknown);
        self.begun.push(micros(Instant::now()));
        tick
    }

    fn keep(&mut self, (tick, result, took): (u64, SendResult, Duration)) {
        if let Some(kept) = usize::try_from(tick)
            .ok()
            .and_then(|at| self.results.get_mut(at))
        {
            *kept = result;
        }
        self.longest = self.longest.max(took);
    }
}

/// A bus that records its events and gaps.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber {
    pub(crate) bus: Bus,
    record: Arc<Mutex<Record>>,
}

#[derive(Debug, Default)]
pub(crate) struct Record {
    received: Vec<ReceivedAt>,
    gaps: Vec<GapAt>,
}

#[derive(Debug)]
pub(crate) struct ReceivedAt {
    at: Instant,
    from: NodeId,
    what: Received,
}

#[derive(Debug)]
struct GapAt {
    at: Instant,
    gap: Gap,
}

impl Subscriber {
    pub(crate) async fn start(builder: BusBuilder) -> Result<Self> {
        let record = Arc::new(Mutex::new(Record::default()));
        let (ticks, gaps) = (Arc::clone(&record), Arc::clone(&record));
        let bus = builder
            .on("tick", move |tick: u64, context: Context| {
                if let (Some(from), Some(number)) = (*context.sender(), context.sequence()) {
                    let (at, what) = (Instant::now(), Received { tick, number });
                    lock(&ticks).received.push(ReceivedAt { at, from, what });
                }
                ready(())
            })
            .on_gap(move |gap: Gap| {
                let at = Instant::now();
                lock(&gaps).gaps.push(GapAt { at, gap });
                ready(())
            })
            .start()
            .await?;
        Ok(Self { bus, record })
    }

    /// Waits until the bus reports that it is, or was, disconnected.
    pub(crate) async fn detects(&self, since: Instant) -> Result<Instant> {
        until(|| {
            let is_disconnected = !self.bus.is_ready();
            is_disconnected
                .then(Instant::now)
                .or(self.lock().back_after(since))
        })
        .await
        .context("the bus did not report the fault")
    }

    /// Waits until events are received over a newer connection than that of `since`.
    pub(crate) async fn receives_again(&self, since: Instant) -> Result<Instant> {
        until(|| {
            let record = self.lock();
            let back = record.back_after(since)?;
            let first = record.received_since(back).next()?;
            Some(first.at)
        })
        .await
        .context("nothing was received after the fault")
    }

    /// Returns the longest time without an event since then.
    pub(crate) fn longest_silence(&self, since: Instant) -> Duration {
        let record = self.lock();
        let received = record.received_since(since).map(|received| received.at);
        let times: Vec<_> = iter::once(since).chain(received).collect();
        let silences = times.windows(2).map(|pair| pair[1] - pair[0]);
        silences.max().unwrap_or_default()
    }

    /// Waits until each number of this sender was received or reported. An idle sender states its
    /// position after a while, so this takes some time.
    async fn settles(&self, from: NodeId, results: &[SendResult]) {
        let mut clock = interval(SETTLE_LOOK);
        let settling = async {
            loop {
                clock.tick().await;
                let (received, gaps) = self.lock().of(from);
                let account = Account {
                    results,
                    received: &received,
                    gaps: &gaps,
                };
                if account.lost() <= account.reported() {
                    return;
                }
            }
        };
        let _ = timeout(SETTLES_WITHIN, settling).await;
    }

    fn add_to(&self, balance: &mut Balance, index: usize, from: NodeId, results: &[SendResult]) {
        let (received, gaps) = self.lock().of(from);
        let account = Account {
            results,
            received: &received,
            gaps: &gaps,
        };
        balance.lost += account.lost();
        balance.received += received.len() as u64;
        let findings = account.findings().into_iter();
        let findings =
            findings.map(|finding| format!("subscriber {index}, sender {from}: {finding}"));
        balance.findings.extend(findings);
    }

    /// Returns whether any event of this sender was received.
    pub(crate) fn has_received(&self, from: NodeId) -> bool {
        self.last_of(from).is_some()
    }

    /// Returns the last event of this sender that was received.
    pub(crate) fn last_of(&self, from: NodeId) -> Option<Received> {
        self.newest_of(from, 0)
    }

    /// Returns the event of this sender that was received this many before the last one.
    pub(crate) fn newest_of(&self, from: NodeId, before: usize) -> Option<Received> {
        let record = self.lock();
        let received = record
            .received
            .iter()
            .rev()
            .filter(|received| received.from == from);
        received.map(|received| received.what).nth(before)
    }

    /// Returns all events and gaps.
    pub(crate) fn log(&self) -> SubscriberLog {
        let record = self.lock();
        let mut log = SubscriberLog::default();
        for ReceivedAt { at, from, what } in &record.received {
            let Received { tick, number } = *what;
            let at = micros(*at);
            let receipt = Receipt { tick, number, at };
            log.received.entry(*from).or_default().push(receipt);
        }
        let reports = record.gaps.iter().map(|GapAt { at, gap }| GapReport {
            from: gap.sender,
            at: micros(*at),
            is_reconnect: gap.reason == GapReason::Reconnected,
        });
        log.reports.extend(reports);
        log
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }
}

impl Record {
    fn received_since(&self, since: Instant) -> impl Iterator<Item = &ReceivedAt> {
        let first = self
            .received
            .partition_point(|received| received.at < since);
        self.received[first..].iter()
    }

    /// Returns when the bus first reported a reconnect, since then.
    fn back_after(&self, since: Instant) -> Option<Instant> {
        let is_back = |seen: &&GapAt| seen.at >= since && seen.gap.reason == GapReason::Reconnected;
        self.gaps.iter().find(is_back).map(|seen| seen.at)
    }

    fn of(&self, from: NodeId) -> (Vec<Received>, Vec<Option<u64>>) {
        let received = self
            .received
            .iter()
            .filter(|received| received.from == from);
        let gaps = self
            .gaps
            .iter()
            .filter(|seen| seen.gap.sender == Some(from));
        (
            received.map(|received| received.what).collect(),
            gaps.map(|seen| seen.gap.missed).collect(),
        )
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks every millisecond until there is a value.
pub(crate) async fn until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let looking = async {
        loop {
            match look() {
                Some(found) => return found,
                None => sleep(LOOK).await,
            }
        }
    };
    timeout(PATIENCE, looking).await.ok()
}
