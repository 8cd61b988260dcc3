//! One run: subscriber processes, then sender processes, and their measurements.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::cpu_ns_of;
use crate::peers::Peer;
use crate::process::{Process, Program};
use crate::sender::Sent;
use crate::subscriber::Received;
use crate::work::Work;

/// The measurements of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) events: u64,
    pub(crate) sent: Vec<Sent>,
    pub(crate) received: Vec<Received>,
    /// Processor time of the servers, in nanoseconds.
    pub(crate) server_cpu_ns: u64,
}

/// The servers of a run, and the program of its processes.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) program: Program,
    pub(crate) url: String,
    /// The process ids of the servers.
    pub(crate) servers: Vec<u32>,
}

impl Endpoint {
    fn servers_cpu_ns(&self) -> u64 {
        self.servers.iter().copied().map(cpu_ns_of).sum()
    }
}

/// Makes one run.
pub(crate) async fn once(
    peer: Peer,
    endpoint: &Endpoint,
    work: Work,
    subscribers: usize,
) -> anyhow::Result<Run> {
    let mut subscribers = start_subscribers(peer, endpoint, work, subscribers).await?;
    let before = endpoint.servers_cpu_ns();
    let mut sending = start_senders(peer, endpoint, work)?;
    let sent = results(&mut sending).await?;
    let received = results(&mut subscribers).await?;
    Ok(Run {
        events: work.events,
        sent,
        received,
        server_cpu_ns: endpoint.servers_cpu_ns().saturating_sub(before),
    })
}

/// Starts the subscriber processes, and waits until all of them are subscribed.
pub(crate) async fn start_subscribers(
    peer: Peer,
    endpoint: &Endpoint,
    work: Work,
    subscribers: usize,
) -> anyhow::Result<Vec<Process>> {
    let work = serde_json::to_string(&work)?;
    let words = ["receive", peer.slug(), &endpoint.url, &work];
    let subscribers = (0..subscribers).map(|_| endpoint.program.start(words));
    let mut subscribers = subscribers.collect::<anyhow::Result<Vec<_>>>()?;
    for process in &mut subscribers {
        process.ready().await?;
    }
    Ok(subscribers)
}

pub(crate) fn start_senders(
    peer: Peer,
    endpoint: &Endpoint,
    work: Work,
) -> anyhow::Result<Vec<Process>> {
    let senders = (0..work.senders).map(|sender| {
        let work = serde_json::to_string(&Work { sender, ..work })?;
        let words = ["send", peer.slug(), &endpoint.url, &work];
        endpoint.program.start(words)
    });
    senders.collect()
}

pub(crate) async fn results<T: DeserializeOwned>(
    processes: &mut [Process],
) -> anyhow::Result<Vec<T>> {
    let mut results = Vec::new();
    for process in processes {
        results.push(process.result().await?);
    }
    Ok(results)
}

impl Run {
    /// Events a second, from the first send to the last receipt of the slowest subscriber.
    pub(crate) fn rate(&self) -> f64 {
        self.events as f64 * 1e9 / self.nanoseconds() as f64
    }

    fn nanoseconds(&self) -> u64 {
        let first = self.sent.iter().map(|sent| sent.first_ns).min();
        let last = self.received.iter().map(|received| received.last_ns).max();
        let first_and_last = first.zip(last);
        first_and_last.map_or(1, |(first, last)| last.saturating_sub(first).max(1))
    }

    pub(crate) fn lost(&self) -> u64 {
        let lost = |received: &Received| received.wanted.saturating_sub(received.received);
        self.received.iter().map(lost).sum()
    }

    pub(crate) fn duplicates(&self) -> u64 {
        self.received
            .iter()
            .map(|received| received.duplicates)
            .sum()
    }

    pub(crate) fn out_of_order(&self) -> u64 {
        self.received
            .iter()
            .map(|received| received.out_of_order)
            .sum()
    }

    /// Processor time an event: of all senders, of one subscriber, of all servers.
    pub(crate) fn sender_cpu_ns(&self) -> f64 {
        let spent: u64 = self.sent.iter().map(|sent| sent.cpu_ns).sum();
        spent as f64 / self.events as f64
    }

    pub(crate) fn subscriber_cpu_ns(&self) -> f64 {
        let spent: u64 = self.received.iter().map(|received| received.cpu_ns).sum();
        spent as f64 / self.events as f64 / self.received.len() as f64
    }

    pub(crate) fn server_cpu_ns(&self) -> f64 {
        self.server_cpu_ns as f64 / self.events as f64
    }

    /// Processor time an event of all processes together.
    pub(crate) fn cpu_ns(&self) -> f64 {
        self.sender_cpu_ns()
            + self.subscriber_cpu_ns() * self.received.len() as f64
            + self.server_cpu_ns()
    }

    pub(crate) fn sender_mib(&self) -> f64 {
        most(self.sent.iter().map(|sent| sent.rss_kib as f64 / 1024.0))
    }

    pub(crate) fn subscriber_mib(&self) -> f64 {
        most(
            self.received
                .iter()
                .map(|received| received.rss_kib as f64 / 1024.0),
        )
    }

    pub(crate) fn p50_us(&self) -> f64 {
        self.latency(|received| received.p50_us)
    }

    /// A latency: the median of the subscribers.
    pub(crate) fn latency(&self, of: impl Fn(&Received) -> f64) -> f64 {
        let mut latencies: Vec<_> = self.received.iter().map(of).collect();
        latencies.sort_by(f64::total_cmp);
        latencies.get(latencies.len() / 2).copied().unwrap_or(0.0)
    }
}

fn most(figures: impl Iterator<Item = f64>) -> f64 {
    figures.fold(0.0, f64::max)
}
