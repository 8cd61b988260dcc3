//! The same faults for every library: detection, recovery, and events lost silently.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use redis::Client;
use redis::aio::MultiplexedConnection;
use serde::Serialize;
use tidings::Bus;
use tidings_testkit::{Direction, Fault, Proxy, Redis, Sentinels};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};

use crate::peers::{Address, Log, LogEntries, Peer};
use crate::row::{Effort, milliseconds};
use crate::traffic::{CHANNEL, TICK};

const TRIALS: usize = 3;

/// The time before the fault, and the time for events in flight after the measurement.
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_secs(1);

const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
const DOWN_AFTER: Duration = Duration::from_secs(1);

/// A fault for a subscriber.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ComparedFault {
    Reset,
    /// Open connections carry nothing any more; new ones are healthy.
    HalfOpen,
    Restart {
        away: Duration,
    },
    /// The master is killed, and the sentinels promote another.
    Failover,
}

/// The result of one library.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) fault: String,
    pub(crate) library: &'static str,
    pub(crate) trials: usize,
    /// Trials in which the library reported anything, and the longest time until then.
    pub(crate) detected: usize,
    pub(crate) detected_ms: Option<f64>,
    /// Trials in which it received again, and the longest time until then.
    pub(crate) again: usize,
    pub(crate) again_ms: Option<f64>,
    /// Events that Redis acknowledged and the subscriber did not receive.
    pub(crate) lost: usize,
    /// Lost events that no later report of the library covers.
    pub(crate) lost_silently: usize,
    pub(crate) complaint: Option<String>,
}

impl ComparedFault {
    pub(crate) fn all() -> Vec<Self> {
        let restart = |seconds| Self::Restart {
            away: Duration::from_secs(seconds),
        };
        vec![
            Self::Reset,
            Self::HalfOpen,
            restart(2),
            restart(15),
            Self::Failover,
        ]
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Reset => "TCP reset".to_owned(),
            Self::HalfOpen => "half-open for 20 s".to_owned(),
            Self::Restart { away } => format!("Redis killed, restarted after {away:?}"),
            Self::Failover => "Sentinel: master killed".to_owned(),
        }
    }

    /// The time of observation after the fault.
    fn watched(self) -> Duration {
        Duration::from_secs(match self {
            Self::Reset => 5,
            Self::HalfOpen => 20,
            Self::Restart { .. } => 10,
            Self::Failover => 15,
        })
    }

    /// Tests every library with this fault, at the same time.
    pub(crate) async fn compare(self, effort: Effort) -> Vec<Comparison> {
        let mut trials = Vec::new();
        for _ in 0..if effort.quick { 1 } else { TRIALS } {
            let peers = Peer::ALL.iter().filter(|peer| self.is_for(**peer));
            trials
                .extend(join_all(peers.map(async |&peer| (peer, self.try_with(peer).await))).await);
        }
        let peers = Peer::ALL.iter().filter(|peer| self.is_for(**peer));
        let of = |peer| trials.iter().filter(move |trial| trial.0 == peer);
        let comparisons = peers.map(|&peer| self.sum_up(peer, of(peer).map(|trial| &trial.1)));
        comparisons.collect()
    }

    fn is_for(self, peer: Peer) -> bool {
        self != Self::Failover || peer.knows_sentinels()
    }

    fn sum_up<'a>(
        self,
        peer: Peer,
        trials: impl Iterator<Item = &'a Result<Trial>> + Clone,
    ) -> Comparison {
        let ended = trials.clone().filter_map(|trial| trial.as_ref().ok());
        let detected = ended.clone().filter_map(|trial| trial.detected);
        let again = ended.clone().filter_map(|trial| trial.again);
        let complaint = trials.clone().find_map(|trial| trial.as_ref().err());
        Comparison {
            fault: self.name(),
            library: peer.name(),
            trials: trials.count(),
            detected: detected.clone().count(),
            detected_ms: detected.max().map(milliseconds),
            again: again.clone().count(),
            again_ms: again.max().map(milliseconds),
            lost: ended.clone().map(|trial| trial.lost).sum(),
            lost_silently: ended.map(|trial| trial.lost_silently).sum(),
            complaint: complaint.map(|error| format!("{error:#}")),
        }
    }

    async fn try_with(self, peer: Peer) -> Result<Trial> {
        let log = Log::default();
        if self == Self::Failover {
            return self.fail_over(peer, log).await;
        }
        let mut redis = Redis::start().await;
        let proxy = Proxy::start(redis.address()).await;
        let _subscription = peer
            .subscribe(&Address::Server(proxy.address()), &log)
            .await?;
        let publisher = Publisher::start(peer, &Address::Server(redis.address())).await?;
        sleep(BEFORE).await;

        let began = Instant::now();
        match self {
            Self::Reset => {
                proxy.reset().await;
            }
            Self::HalfOpen => {
                for connection in 0..proxy.accepted_connections() {
                    proxy.set_connection(connection, Fault::Drop(Direction::Both));
                }
            }
            Self::Restart { away } => {
                redis.kill();
                sleep(away).await;
                redis.start_again().await;
            }
            Self::Failover => {}
        }
        let times = Times {
            began,
            made: Instant::now(),
        };
        sleep(self.watched()).await;
        let taken = publisher.end().await;
        sleep(AFTER).await;
        Ok(Trial::of(&taken, &log.lock(), times))
    }

    async fn fail_over(self, peer: Peer, log: Log) -> Result<Trial> {
        let mut all = Sentinels::builder().down_after(DOWN_AFTER).start().await;
        let address = Address::Sentinels(all.url());
        let _subscription = peer.subscribe(&address, &log).await?;
        let master = Address::Server(all.master().await.address());
        // A bus finds the master by itself; the other connections are told its address.
        let to = if peer == Peer::Tidings {
            address
        } else {
            master
        };
        let publisher = Publisher::start(peer, &to).await?;
        sleep(BEFORE).await;

        let began = Instant::now();
        let old = all.kill_master().await;
        let times = Times {
            began,
            made: Instant::now(),
        };
        publisher.follow(all.wait_for_master_other_than(old).await.address());
        sleep(self.watched()).await;
        let taken = publisher.end().await;
        sleep(AFTER).await;
        Ok(Trial::of(&taken, &log.lock(), times))
    }
}

#[derive(Debug, PartialEq)]
struct Trial {
    detected: Option<Duration>,
    again: Option<Duration>,
    lost: usize,
    lost_silently: usize,
}

/// An event that Redis acknowledged.
#[derive(Clone, Copy, Debug)]
struct Taken {
    tick: u64,
    /// The time of the send.
    at: Instant,
}

/// The begin of the fault, and the time at which it is complete: a killed Redis is back by then.
#[derive(Clone, Copy, Debug)]
struct Times {
    began: Instant,
    made: Instant,
}

impl Trial {
    fn of(taken: &[Taken], log: &LogEntries, Times { began, made }: Times) -> Self {
        let received: HashSet<u64> = log.received.iter().map(|(tick, _)| *tick).collect();
        // An event in flight may still have arrived over the old connection.
        let is_new = |tick: u64| taken.iter().any(|one| one.tick == tick && one.at > began);
        let mut received_since = log.received.iter().filter(|(_, at)| *at > made);
        let again = received_since.find(|(tick, _)| is_new(*tick));
        let notified = log.notified.iter().find(|notified| **notified >= began);

        // A user who is notified reloads his state, so the events before the last report are not
        // lost silently.
        let last_told = log.notified.last();
        let lost = taken.iter().filter(|one| !received.contains(&one.tick));
        let is_unnoticed = |one: &&Taken| last_told.is_none_or(|notified| *notified < one.at);
        Self {
            detected: notified.map(|notified| *notified - began),
            again: again.map(|(_, at)| *at - made),
            lost: lost.clone().count(),
            lost_silently: lost.filter(is_unnoticed).count(),
        }
    }
}

/// Sends a hundred ticks a second directly to Redis, and records those that Redis acknowledged.
struct Publisher {
    stop: Arc<Notify>,
    server: watch::Sender<Option<SocketAddr>>,
    sending: JoinHandle<Vec<Taken>>,
}

impl Publisher {
    /// Uses a second bus for tidings, and a plain connection for the others.
    async fn start(peer: Peer, to: &Address) -> Result<Self> {
        let stop = Arc::new(Notify::new());
        let (url, address) = match to {
            Address::Server(address) => (format!("redis://{address}"), Some(*address)),
            Address::Sentinels(url) => (url.clone(), None),
        };
        let (server, servers) = watch::channel(address);
        let stopped = Arc::clone(&stop);
        let sending = if peer == Peer::Tidings {
            let bus = Bus::builder(&url).start().await?;
            let send = async move |tick: u64| bus.send_to_all("tick", &tick).await.is_ok();
            tokio::spawn(async move { send_until(&stopped, send).await })
        } else {
            let mut raw = Raw {
                servers,
                connection: None,
            };
            let send = async move |tick: u64| raw.send(tick).await;
            tokio::spawn(async move { send_until(&stopped, send).await })
        };
        Ok(Self {
            stop,
            server,
            sending,
        })
    }

    /// Connects to this master from now on.
    fn follow(&self, server: SocketAddr) {
        self.server.send_replace(Some(server));
    }

    async fn end(self) -> Vec<Taken> {
        self.stop.notify_one();
        self.sending.await.unwrap_or_default()
    }
}

async fn send_until(stop: &Notify, mut send: impl AsyncFnMut(u64) -> bool) -> Vec<Taken> {
    let (mut clock, mut taken) = (interval(TICK), Vec::new());
    let mut tick = 0;
    loop {
        tokio::select! {
            () = stop.notified() => return taken,
            _ = clock.tick() => {}
        }
        let at = Instant::now();
        if send(tick).await {
            taken.push(Taken { tick, at });
        }
        tick += 1;
    }
}

struct Raw {
    servers: watch::Receiver<Option<SocketAddr>>,
    connection: Option<MultiplexedConnection>,
}

impl Raw {
    async fn send(&mut self, tick: u64) -> bool {
        let sent = timeout(ANSWERS_WITHIN, self.try_send(tick)).await;
        let is_sent = matches!(sent, Ok(Ok(())));
        if !is_sent {
            self.connection = None;
        }
        is_sent
    }

    async fn try_send(&mut self, tick: u64) -> Result<()> {
        let connection = if let Some(connection) = &mut self.connection {
            connection
        } else {
            let server = *self.servers.borrow();
            let server = server.context("the address of the server is unknown")?;
            let client = Client::open(format!("redis://{server}"))?;
            let connected = client.get_multiplexed_async_connection().await?;
            self.connection.insert(connected)
        };
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(CHANNEL).arg(tick);
        Ok(publish.exec_async(connection).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_lost_after_the_last_report_is_lost_silently() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let taken: Vec<_> = (0..10)
            .map(|tick| Taken {
                tick,
                at: after(10 * tick),
            })
            .collect();
        // Ticks 2 to 6 are lost; the library reported a loss after tick 4.
        let received = [0, 1, 7, 8, 9];
        let log = LogEntries {
            received: received.map(|tick| (tick, after(10 * tick + 1))).into(),
            notified: vec![after(41)],
        };

        let times = Times {
            began: after(15),
            made: after(15),
        };
        let trial = Trial::of(&taken, &log, times);

        let milliseconds = |ms| Some(Duration::from_millis(ms));
        assert_eq!(trial.detected, milliseconds(26));
        assert_eq!(trial.again, milliseconds(56));
        assert_eq!((trial.lost, trial.lost_silently), (5, 2));
    }
}
