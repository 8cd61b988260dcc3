//! One run: processes that hear, then processes that send, and what they measured.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::cpu_ns_of;
use crate::hearing::Heard;
use crate::peers::Peer;
use crate::process::{Process, Program};
use crate::sending::Sent;
use crate::work::Work;

/// What one run measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) events: u64,
    pub(crate) sent: Vec<Sent>,
    pub(crate) heard: Vec<Heard>,
    /// What the server spent, in nanoseconds.
    pub(crate) server_cpu_ns: u64,
}

/// Where a peer's processes meet.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) program: Program,
    pub(crate) url: String,
    /// The server's process.
    pub(crate) server: u32,
}

/// Makes a run from its start to its end.
pub(crate) async fn once(
    peer: Peer,
    place: &Place,
    work: Work,
    hearers: usize,
) -> anyhow::Result<Run> {
    let mut hearing = start_hearers(peer, place, work, hearers).await?;
    let before = cpu_ns_of(place.server);
    let mut sending = start_senders(peer, place, work)?;
    let sent = results(&mut sending).await?;
    let heard = results(&mut hearing).await?;
    Ok(Run {
        events: work.events,
        sent,
        heard,
        server_cpu_ns: cpu_ns_of(place.server).saturating_sub(before),
    })
}

/// Starts processes that hear, and waits until all of them do.
pub(crate) async fn start_hearers(
    peer: Peer,
    place: &Place,
    work: Work,
    hearers: usize,
) -> anyhow::Result<Vec<Process>> {
    let work = serde_json::to_string(&work)?;
    let words = ["hear", peer.word(), &place.url, &work];
    let hearing = (0..hearers).map(|_| place.program.start(words));
    let mut hearing = hearing.collect::<anyhow::Result<Vec<_>>>()?;
    for process in &mut hearing {
        process.ready().await?;
    }
    Ok(hearing)
}

pub(crate) fn start_senders(peer: Peer, place: &Place, work: Work) -> anyhow::Result<Vec<Process>> {
    let senders = (0..work.senders).map(|sender| {
        let work = serde_json::to_string(&Work { sender, ..work })?;
        let words = ["send", peer.word(), &place.url, &work];
        place.program.start(words)
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
    /// Events a second, from the first that was sent to the last that the slowest heard.
    pub(crate) fn rate(&self) -> f64 {
        self.events as f64 * 1e9 / self.nanoseconds() as f64
    }

    fn nanoseconds(&self) -> u64 {
        let first = self.sent.iter().map(|sent| sent.first_ns).min();
        let last = self.heard.iter().map(|heard| heard.last_ns).max();
        let first_and_last = first.zip(last);
        first_and_last.map_or(1, |(first, last)| last.saturating_sub(first).max(1))
    }

    pub(crate) fn lost(&self) -> u64 {
        let lost = |heard: &Heard| heard.wanted.saturating_sub(heard.heard);
        self.heard.iter().map(lost).sum()
    }

    pub(crate) fn repeated(&self) -> u64 {
        self.heard.iter().map(|heard| heard.repeated).sum()
    }

    pub(crate) fn misordered(&self) -> u64 {
        self.heard.iter().map(|heard| heard.misordered).sum()
    }

    /// Processor time an event of all senders, of one hearer, and of the server.
    pub(crate) fn sender_cpu_ns(&self) -> f64 {
        let spent: u64 = self.sent.iter().map(|sent| sent.cpu_ns).sum();
        spent as f64 / self.events as f64
    }

    pub(crate) fn hearer_cpu_ns(&self) -> f64 {
        let spent: u64 = self.heard.iter().map(|heard| heard.cpu_ns).sum();
        spent as f64 / self.events as f64 / self.heard.len() as f64
    }

    pub(crate) fn server_cpu_ns(&self) -> f64 {
        self.server_cpu_ns as f64 / self.events as f64
    }

    /// Of all processes together.
    pub(crate) fn cpu_ns(&self) -> f64 {
        self.sender_cpu_ns() + self.hearer_cpu_ns() * self.heard.len() as f64 + self.server_cpu_ns()
    }

    pub(crate) fn sender_mib(&self) -> f64 {
        most(self.sent.iter().map(|sent| sent.rss_kib as f64 / 1024.0))
    }

    pub(crate) fn hearer_mib(&self) -> f64 {
        most(self.heard.iter().map(|heard| heard.rss_kib as f64 / 1024.0))
    }

    /// A latency of the hearers: the middle one of theirs.
    pub(crate) fn latency(&self, of: impl Fn(&Heard) -> f64) -> f64 {
        let mut latencies: Vec<_> = self.heard.iter().map(of).collect();
        latencies.sort_by(f64::total_cmp);
        latencies.get(latencies.len() / 2).copied().unwrap_or(0.0)
    }
}

fn most(figures: impl Iterator<Item = f64>) -> f64 {
    figures.fold(0.0, f64::max)
}
