//! Slow handlers: concurrency, and a queue that is full.

// ANCHOR: file
use std::time::Duration;

use tidings::prelude::*;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{Instant, sleep};

/// The printer of labels: it takes a label, and waits until there is paper.
static TAKEN: Notify = Notify::const_new();
static PAPER: Semaphore = Semaphore::const_new(0);

async fn print_label(cents: u32) -> Result<(), HandlerError> {
    TAKEN.notify_one();
    PAPER.acquire().await?.forget();
    println!("label: {cents}");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (report, mut gaps) = mpsc::channel(16);
    let bus = Bus::builder("memory:shop").on_gap(move |gap: Gap| {
        let report = report.clone();
        async move { report.send(gap).await }
    });
    let bus = bus.start().await?;

    let print_receipt = |_: u32| sleep(Duration::from_millis(50));
    let options = HandlerOptions::new().concurrency(8);
    bus.on_with("receipt.print", options, print_receipt)?;
    let begin = Instant::now();
    for number in 1..=7_u32 {
        bus.feed("receipt.print", &number).await?;
    }
    let last = bus.send_to_all("receipt.print", &8_u32);
    last.acknowledged(Duration::from_secs(5)).await?;
    println!("8 receipts in {:.0?}", begin.elapsed());

    let options = HandlerOptions::new()
        .queue(2)
        .overflow(Overflow::DropOldest);
    bus.on_with("label.print", options, print_label)?;
    bus.send_to_all("label.print", &101_u32).await?;
    TAKEN.notified().await;
    for cents in 102..=110_u32 {
        bus.send_to_all("label.print", &cents).await?;
    }
    let mut missed = 0;
    while missed < 7 {
        missed += gaps.recv().await.and_then(|gap| gap.missed).unwrap_or(0);
    }
    println!("gap: {missed} labels");
    PAPER.add_permits(3);
    bus.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
// ANCHOR_END: file

pub(super) fn run() -> super::Done {
    main()
}
