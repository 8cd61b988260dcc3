//! Four processes on a real Redis: one sends 1,000 events, and all report what they received.
//!
//! `cargo run --example processes` needs `redis-server`; it starts its own
//! server.

use std::error::Error;
use std::process::{ExitCode, id};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tidings::prelude::*;
use tidings::{EventStream, NodeId};
use tidings_testkit::Redis;
use tokio::process::{Child, Command};
use tokio::time::timeout;

const PROCESSES: usize = 4;
const EVENTS: u64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// One handler receives both events, in the order they were sent.
#[derive(Debug, Event)]
enum Count {
    #[event("count.tick")]
    Tick { number: u64 },
    #[event("count.over")]
    Over,
}

/// A process has started and receives events.
#[derive(Debug, Serialize, Deserialize, Event)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[event("process.ready")]
struct Ready {
    process: u32,
    node: NodeId,
}

/// The events that a process had received when the count was over.
#[derive(Debug, Serialize, Deserialize, Event)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[event("process.report")]
struct Report {
    process: u32,
    received: u64,
    in_order: u64,
    gaps: u64,
}

impl Report {
    fn print(&self) {
        let Self {
            process,
            received,
            in_order,
            gaps,
        } = self;
        println!("{process:<9} {received:>8} {in_order:>9} {gaps:>9}");
    }

    fn is_perfect(&self) -> bool {
        (self.received, self.in_order, self.gaps) == (EVENTS, EVENTS, 0)
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    match std::env::args().nth(1) {
        None => lead().await,
        Some(url) => timeout(PATIENCE, follow(&url)).await?,
    }
}

/// Runs Redis and the four processes, and compares their reports.
async fn lead() -> Result<ExitCode, Box<dyn Error>> {
    let redis = Redis::start().await;
    let bus = Bus::builder(&redis.url()).start().await?;
    let mut readies = bus.stream(Ready::EVENT)?;
    let mut reports = bus.stream(Report::EVENT)?;
    println!("Redis runs at {}.", redis.url());

    let children = (0..PROCESSES)
        .map(|_| start(&redis.url()))
        .collect::<Result<Vec<_>, _>>()?;
    let ready = all(&mut readies).await?;
    let Ready { process, node } = ready[0];
    println!("{PROCESSES} processes are ready. {process} sends {EVENTS} events.\n");
    bus.send_to(node, "count.begin", &EVENTS).await?;

    let reports = all(&mut reports).await?;
    println!("process   received  in order      gaps");
    reports.iter().for_each(Report::print);
    bus.send_to_others("process.leave", &()).await?;
    for mut child in children {
        child.wait().await?;
    }
    bus.shutdown(PATIENCE).await?;
    Ok(verdict(&reports))
}

fn start(url: &str) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .arg(url)
        .kill_on_drop(true)
        .spawn()
}

/// Waits for one event of each process.
async fn all<E>(stream: &mut EventStream<E>) -> Result<Vec<E>, Box<dyn Error>> {
    let mut events = Vec::new();
    while events.len() < PROCESSES {
        let next = timeout(PATIENCE, stream.next()).await?;
        events.push(next.ok_or("the bus has ended")?);
    }
    Ok(events)
}

fn verdict(reports: &[Report]) -> ExitCode {
    if reports.iter().all(Report::is_perfect) {
        println!("\nEach process received each event once, in order.");
        ExitCode::SUCCESS
    } else {
        println!("\nEvents were lost, duplicated or out of order.");
        ExitCode::FAILURE
    }
}

/// Runs one of the four processes: counts the events, and sends them on request.
async fn follow(url: &str) -> Result<ExitCode, Box<dyn Error>> {
    let tally = Arc::new(Tally::default());
    let bus = Bus::builder(url)
        .state(tally)
        .subscribe(count)
        .on("count.begin", begin)
        .on_gap(miss)
        .start()
        .await?;
    let mut leave = bus.stream::<_, ()>("process.leave")?;
    let (process, node) = (id(), bus.id());
    bus.publish(&Ready { process, node }).await?;
    leave.next().await;
    bus.shutdown(PATIENCE).await?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Default)]
struct Tally {
    received: AtomicU64,
    in_order: AtomicU64,
    gaps: AtomicU64,
}

async fn count(
    event: Count,
    State(tally): State<Arc<Tally>>,
    bus: Bus,
) -> Result<(), HandlerError> {
    match event {
        Count::Tick { number } => {
            let received = 1 + tally.received.fetch_add(1, Relaxed);
            tally
                .in_order
                .fetch_add(u64::from(number == received), Relaxed);
        }
        Count::Over => {
            let report = Report {
                process: id(),
                received: tally.received.load(Relaxed),
                in_order: tally.in_order.load(Relaxed),
                gaps: tally.gaps.load(Relaxed),
            };
            bus.publish(&report).await?;
        }
    }
    Ok(())
}

async fn miss(_: Gap, State(tally): State<Arc<Tally>>) {
    tally.gaps.fetch_add(1, Relaxed);
}

async fn begin(events: u64, bus: Bus) -> Result<(), HandlerError> {
    for number in 1..=events {
        bus.feed(Count::EVENT, &Count::Tick { number }).await?;
    }
    bus.flush().await?;
    bus.publish(&Count::Over).await?;
    Ok(())
}
