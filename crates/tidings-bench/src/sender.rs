//! A sender process, with one of four loads, for every peer.

use std::future::{Future, pending};

use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::{Deserialize, Serialize};

use crate::clock::{cpu_ns, now_ns, rss_kib};
use crate::event::{Sample, names};
use crate::pacer::Pacer;
use crate::work::{Load, TASKS, Work};

/// The result line of a sender process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sent {
    pub(crate) first_ns: u64,
    pub(crate) cpu_ns: u64,
    pub(crate) rss_kib: u64,
}

/// Sends one event and waits until the server has it, as far as the peer can know.
pub(crate) trait SendOne<E>: Clone + Send + Sync + 'static {
    fn send(&self, name: &'static str, event: E)
    -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Sends as fast as the peer can.
pub(crate) trait Feed<E>: Send + 'static {
    /// Hands over one event; waits only for room.
    fn feed(
        &mut self,
        name: &'static str,
        event: E,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Drives the sends in flight, where the peer has no task for it. Returns only with an error.
    fn turn(&mut self) -> impl Future<Output = anyhow::Error> + Send {
        pending()
    }

    /// Waits until the server has all events.
    fn finish(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// `feed` for peers without such a method: 256 sends in flight, all from one task.
#[derive(Debug)]
pub(crate) struct Window<M, F> {
    send: M,
    in_flight: FuturesUnordered<F>,
}

impl<M, F> Window<M, F> {
    pub(crate) fn new(send: M) -> Self {
        let in_flight = FuturesUnordered::new();
        Self { send, in_flight }
    }
}

impl<E, M, F> Feed<E> for Window<M, F>
where
    E: Sample,
    M: Fn(&'static str, E) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    async fn feed(&mut self, name: &'static str, event: E) -> anyhow::Result<()> {
        if self.in_flight.len() as u64 == TASKS {
            self.in_flight.next().await.transpose()?;
        }
        self.in_flight.push((self.send)(name, event));
        Ok(())
    }

    async fn turn(&mut self) -> anyhow::Error {
        while let Some(sent) = self.in_flight.next().await {
            if let Err(error) = sent {
                return error;
            }
        }
        pending().await
    }

    async fn finish(&mut self) -> anyhow::Result<()> {
        while let Some(sent) = self.in_flight.next().await {
            sent?;
        }
        Ok(())
    }
}

/// Does the work of a sender. The loop runs in a spawned task, as handlers of a server do.
pub(crate) async fn send<E, S, F>(work: Work, one: S, feed: F) -> anyhow::Result<Sent>
where
    E: Sample,
    S: SendOne<E>,
    F: Feed<E>,
{
    let events = Events::new(work);
    let (first_ns, cpu_before) = (now_ns(), cpu_ns());
    match work.load {
        Load::Await => tokio::spawn(send_each(one, events)).await??,
        Load::Tasks => send_in_tasks(one, &events).await?,
        Load::Feed => tokio::spawn(feed_all(feed, events)).await??,
        Load::Rate => tokio::spawn(feed_in_steps(feed, events)).await??,
    }
    Ok(Sent {
        first_ns,
        cpu_ns: cpu_ns() - cpu_before,
        rss_kib: rss_kib(),
    })
}

async fn send_each<E: Sample>(one: impl SendOne<E>, events: Events<E>) -> anyhow::Result<()> {
    for number in events.numbers() {
        one.send(events.name(number), events.event(number, now_ns()))
            .await?;
    }
    Ok(())
}

async fn send_in_tasks<E: Sample>(one: impl SendOne<E>, events: &Events<E>) -> anyhow::Result<()> {
    let tasks = (0..TASKS).map(|task| {
        let (one, events) = (one.clone(), events.clone());
        tokio::spawn(async move {
            for number in events.numbers_of(task) {
                one.send(events.name(number), events.event(number, events.start_ns))
                    .await?;
            }
            anyhow::Ok(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    Ok(())
}

async fn feed_all<E: Sample>(mut feed: impl Feed<E>, events: Events<E>) -> anyhow::Result<()> {
    for number in events.numbers() {
        // Nobody reads the time of these events, so the clock is read once.
        let event = events.event(number, events.start_ns);
        feed.feed(events.name(number), event).await?;
    }
    feed.finish().await
}

async fn feed_in_steps<E: Sample>(mut feed: impl Feed<E>, events: Events<E>) -> anyhow::Result<()> {
    let mut pacer = Pacer::new(events.work.per_second)?;
    let mut numbers = events.numbers().peekable();
    while numbers.peek().is_some() {
        let step = tokio::select! {
            biased;
            step = pacer.next() => step?,
            error = feed.turn() => return Err(error),
        };
        for number in numbers.by_ref().take(usize::try_from(step.events)?) {
            feed.feed(events.name(number), events.event(number, step.at_ns))
                .await?;
        }
    }
    feed.finish().await
}

/// The events of one sender.
#[derive(Clone, Debug)]
struct Events<E> {
    work: Work,
    start_ns: u64,
    sample: E,
    names: Vec<&'static str>,
}

impl<E: Sample> Events<E> {
    fn new(work: Work) -> Self {
        Self {
            work,
            start_ns: now_ns(),
            sample: E::of_size(work.size),
            names: names(work.names),
        }
    }

    fn numbers(&self) -> impl Iterator<Item = u64> + Send + use<E> {
        every(self.work.senders, self.work.sender, self.work.events)
    }

    /// The numbers that one of the 256 tasks sends.
    fn numbers_of(&self, task: u64) -> impl Iterator<Item = u64> + Send + use<E> {
        let first = task * self.work.senders + self.work.sender;
        every(self.work.lanes(), first, self.work.events)
    }

    fn name(&self, number: u64) -> &'static str {
        self.names[index(number % self.work.names)]
    }

    fn event(&self, number: u64, at_ns: u64) -> E {
        self.sample.stamped(number, at_ns)
    }
}

/// The numbers from `first` to `end`, in steps.
fn every(step: u64, first: u64, end: u64) -> impl Iterator<Item = u64> + Send {
    (first..end).step_by(index(step))
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("there are few names, senders and tasks")
}
