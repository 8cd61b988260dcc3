//! Buses that send all the time, buses that keep what they hear, and the account of both.

use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tidings::{Builder, Bus, Context, Gap, GapReason, NodeId};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::clock::micros;
use crate::oracle::{Account, Fate, GapReport, Heard, Micros, Receipt, Witness, taken_by_nobody};

/// Where all buses of a trial meet.
pub(crate) const CHANNEL: &str = "tidings:{default}";

/// The time between two events of a sender: a hundred a second.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// How long something may take that has no figure of its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is seen whether everything is accounted for, and how long that may take.
const SETTLE_LOOK: Duration = Duration::from_millis(100);
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// How often something is looked at that cannot be awaited.
const LOOK: Duration = Duration::from_millis(1);

/// What all buses of a trial did and heard.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) senders: Vec<Sender>,
    pub(crate) hearers: Vec<Hearer>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    /// How many events a hearer did not hear and was told of, of all hearers.
    pub(crate) lost: u64,
    /// How many were heard.
    pub(crate) heard: u64,
    /// How many sends were reported as taken although nobody could hear them.
    pub(crate) taken_by_nobody: usize,
    /// How long the longest send took.
    pub(crate) longest_send: Duration,
    pub(crate) findings: Vec<String>,
    /// What each sender was told.
    pub(crate) sent: Vec<(NodeId, Sent)>,
}

impl Traffic {
    /// Starts the hearers, then the senders, each with a bus on its address.
    pub(crate) async fn start(
        hearers: &[String],
        senders: &[String],
        describe: impl Fn(Builder) -> Builder,
    ) -> Result<Self> {
        let mut all = Self {
            senders: Vec::new(),
            hearers: Vec::new(),
        };
        for url in hearers {
            all.hearers
                .push(Hearer::start(describe(Bus::builder(url))).await?);
        }
        for url in senders {
            all.senders
                .push(Sender::start(describe(Bus::builder(url))).await?);
        }
        all.flows().await?;
        Ok(all)
    }

    /// Waits until each hearer has heard of each sender from now on.
    pub(crate) async fn flows(&self) -> Result<()> {
        let since = Instant::now();
        for hearer in &self.hearers {
            for sender in &self.senders {
                let from = sender.bus.id();
                let heard = || {
                    hearer
                        .lock()
                        .heard_since(since)
                        .any(|heard| heard.from == from)
                };
                until(|| heard().then_some(()))
                    .await
                    .context("the traffic does not flow")?;
            }
        }
        Ok(())
    }

    /// Ends the traffic, waits until all of it is accounted for, and checks the account. The buses
    /// stay, and have nothing to do.
    pub(crate) async fn settle(&mut self) -> Balance {
        let mut balance = Balance::default();
        let all_sent = join_all(self.senders.iter_mut().map(Sender::end)).await;
        let ids: Vec<_> = self.senders.iter().map(|sender| sender.bus.id()).collect();
        let senders: Vec<_> = ids.iter().copied().zip(&all_sent).collect();
        let pairs = self.hearers.iter().flat_map(|hearer| {
            let pair = move |(from, sent)| (hearer, from, sent);
            senders.iter().copied().map(pair)
        });
        let settle = async |(hearer, from, sent): (&Hearer, NodeId, &Sent)| {
            hearer.settles(from, &sent.fates).await;
        };
        join_all(pairs.map(settle)).await;
        for (from, sent) in senders {
            balance.longest_send = balance.longest_send.max(sent.longest);
            balance.taken_by_nobody += taken_by_nobody(&sent.fates);
            for (index, hearer) in self.hearers.iter().enumerate() {
                hearer.add_to(&mut balance, index, from, &sent.fates);
            }
        }
        balance.sent = ids.into_iter().zip(all_sent).collect();
        balance
    }

    /// Shuts all buses down, and returns what they complain of.
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

    /// All its buses.
    pub(crate) fn buses(&self) -> impl Iterator<Item = &Bus> {
        let senders = self.senders.iter().map(|sender| &sender.bus);
        senders.chain(self.hearers.iter().map(|hearer| &hearer.bus))
    }
}

/// A bus that sends numbered ticks until it is told to end.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) bus: Bus,
    stop: Arc<Notify>,
    sending: JoinHandle<Sent>,
}

/// What became of what was sent.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// By tick.
    pub(crate) fates: Vec<Fate>,
    /// When each send was begun.
    pub(crate) begun: Vec<Micros>,
    pub(crate) longest: Duration,
}

impl Sender {
    pub(crate) async fn start(builder: Builder) -> Result<Self> {
        // It has no handler that could miss anything.
        let bus = builder.on_gap(|_: Gap| ready(())).start().await?;
        let stop = Arc::new(Notify::new());
        let sending = tokio::spawn(send_until(bus.clone(), Arc::clone(&stop)));
        Ok(Self { bus, stop, sending })
    }

    /// Stops sending, and waits until everything has its fate.
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
        let fate = match bus.send_to_all("tick", &tick).await {
            Ok(receipt) => Fate::Taken {
                number: receipt.number,
                receivers: receipt.receivers,
            },
            Err(error) if error.is_unknown() => Fate::Unknown,
            Err(_) => Fate::NotSent,
        };
        (tick, fate, begun.elapsed())
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
    // All is well by now: the number that this one gets is the last, and is known.
    under_way.push(send(sent.begin()));
    while let Some(ended) = under_way.next().await {
        sent.keep(ended);
    }
    sent
}

impl Sent {
    /// The tick of another event that is sent now, of unknown fate until it is known better.
    pub(crate) fn begin(&mut self) -> u64 {
        let tick = self.fates.len() as u64;
        self.fates.push(Fate::Unknown);
        self.begun.push(micros(Instant::now()));
        tick
    }

    fn keep(&mut self, (tick, fate, took): (u64, Fate, Duration)) {
        if let Some(kept) = usize::try_from(tick)
            .ok()
            .and_then(|at| self.fates.get_mut(at))
        {
            *kept = fate;
        }
        self.longest = self.longest.max(took);
    }
}

/// A bus that keeps what it hears and what it is told.
#[derive(Clone, Debug)]
pub(crate) struct Hearer {
    pub(crate) bus: Bus,
    record: Arc<Mutex<Record>>,
}

#[derive(Debug, Default)]
pub(crate) struct Record {
    heard: Vec<HeardAt>,
    gaps: Vec<GapAt>,
}

#[derive(Debug)]
pub(crate) struct HeardAt {
    at: Instant,
    from: NodeId,
    what: Heard,
}

#[derive(Debug)]
struct GapAt {
    at: Instant,
    gap: Gap,
}

impl Hearer {
    pub(crate) async fn start(builder: Builder) -> Result<Self> {
        let record = Arc::new(Mutex::new(Record::default()));
        let (ticks, gaps) = (Arc::clone(&record), Arc::clone(&record));
        let bus = builder
            .on("tick", move |tick: u64, context: Context| {
                if let (Some(from), Some(number)) = (context.from(), context.number()) {
                    let (at, what) = (Instant::now(), Heard { tick, number });
                    lock(&ticks).heard.push(HeardAt { at, from, what });
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

    /// Waits until the bus says that it is deaf, or that it was.
    pub(crate) async fn notices(&self, since: Instant) -> Result<Instant> {
        until(|| {
            let is_deaf = !self.bus.ready();
            is_deaf.then(Instant::now).or(self.lock().back_after(since))
        })
        .await
        .context("the bus did not notice")
    }

    /// Waits until events are heard over another connection than that of `since`.
    pub(crate) async fn hears_again(&self, since: Instant) -> Result<Instant> {
        until(|| {
            let record = self.lock();
            let back = record.back_after(since)?;
            let first = record.heard_since(back).next()?;
            Some(first.at)
        })
        .await
        .context("nothing was heard again")
    }

    /// The longest time between two events since then.
    pub(crate) fn longest_silence(&self, since: Instant) -> Duration {
        let record = self.lock();
        let times: Vec<_> = record.heard_since(since).map(|heard| heard.at).collect();
        let silences = times.windows(2).map(|pair| pair[1] - pair[0]);
        silences.max().unwrap_or_default()
    }

    /// Waits until each number of this sender was heard or reported, which takes as long as an idle
    /// sender takes to state its position; the account says whether it was.
    async fn settles(&self, from: NodeId, fates: &[Fate]) {
        let mut clock = interval(SETTLE_LOOK);
        let settling = async {
            loop {
                clock.tick().await;
                let (heard, gaps) = self.lock().of(from);
                let account = Account {
                    fates,
                    heard: &heard,
                    gaps: &gaps,
                };
                if account.lost() <= account.reported() {
                    return;
                }
            }
        };
        let _ = timeout(SETTLES_WITHIN, settling).await;
    }

    fn add_to(&self, balance: &mut Balance, index: usize, from: NodeId, fates: &[Fate]) {
        let (heard, gaps) = self.lock().of(from);
        let account = Account {
            fates,
            heard: &heard,
            gaps: &gaps,
        };
        balance.lost += account.lost();
        balance.heard += heard.len() as u64;
        let findings = account.findings().into_iter();
        let findings = findings.map(|finding| format!("hearer {index}, sender {from}: {finding}"));
        balance.findings.extend(findings);
    }

    /// Whether anything of this sender was received, ever.
    pub(crate) fn has_heard(&self, from: NodeId) -> bool {
        self.last_of(from).is_some()
    }

    /// The last event of this sender that was received.
    pub(crate) fn last_of(&self, from: NodeId) -> Option<Heard> {
        self.newest_of(from, 0)
    }

    /// An event of this sender that was received, so many before the last one.
    pub(crate) fn newest_of(&self, from: NodeId, before: usize) -> Option<Heard> {
        let record = self.lock();
        let heard = record.heard.iter().rev().filter(|heard| heard.from == from);
        heard.map(|heard| heard.what).nth(before)
    }

    /// All that it received and was told.
    pub(crate) fn witness(&self) -> Witness {
        let record = self.lock();
        let mut witness = Witness::default();
        for HeardAt { at, from, what } in &record.heard {
            let Heard { tick, number } = *what;
            let at = micros(*at);
            let receipt = Receipt { tick, number, at };
            witness.received.entry(*from).or_default().push(receipt);
        }
        let reports = record.gaps.iter().map(|GapAt { at, gap }| GapReport {
            from: gap.from,
            at: micros(*at),
            is_reconnect: gap.reason == GapReason::Reconnected,
        });
        witness.reports.extend(reports);
        witness
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }
}

impl Record {
    fn heard_since(&self, since: Instant) -> impl Iterator<Item = &HeardAt> {
        let first = self.heard.partition_point(|heard| heard.at < since);
        self.heard[first..].iter()
    }

    /// When the bus said first that it is back, since then.
    fn back_after(&self, since: Instant) -> Option<Instant> {
        let is_back = |seen: &&GapAt| seen.at >= since && seen.gap.reason == GapReason::Reconnected;
        self.gaps.iter().find(is_back).map(|seen| seen.at)
    }

    fn of(&self, from: NodeId) -> (Vec<Heard>, Vec<Option<u64>>) {
        let heard = self.heard.iter().filter(|heard| heard.from == from);
        let gaps = self.gaps.iter().filter(|seen| seen.gap.from == Some(from));
        (
            heard.map(|heard| heard.what).collect(),
            gaps.map(|seen| seen.gap.missed).collect(),
        )
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks every millisecond until there is something.
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
