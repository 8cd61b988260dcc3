//! The program whose instructions are counted: it carries events from `feed` to their handlers in
//! one process and on one thread, so that callgrind counts the same instructions each time.
//!
//! Arguments: the number of events, `json` or `msgpack`, the number of handlers, and the number of
//! events without a handler before each event.

mod received;
mod sent;

use std::env;
use std::error::Error;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use tidings::prelude::*;
use tokio::runtime::Builder;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let mut next = || arguments.next().ok_or("EVENTS FORMAT HANDLERS UNWANTED");
    let (events, format) = (next()?.parse()?, next()?.parse()?);
    let (handlers, unwanted) = (next()?.parse()?, next()?.parse()?);

    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(carry(events, format, handlers, unwanted))
}

async fn carry(events: u64, format: Format, handlers: u64, unwanted: u64) -> Result<()> {
    let bus = Bus::builder("memory:steps").format(format).start().await?;
    let calls = Arc::new(AtomicU64::new(0));
    for _ in 0..handlers {
        let calls = Arc::clone(&calls);
        bus.on("order.placed", move |_: received::OrderPlaced| {
            calls.fetch_add(1, Relaxed);
            ready(())
        })?;
    }

    let mut order = sent::OrderPlaced::example();
    for number in 0..events {
        order.order = number;
        for _ in 0..unwanted {
            bus.feed("order.seen", &order).await?;
        }
        bus.feed("order.placed", &order).await?;
    }
    bus.flush().await?;
    while calls.load(Relaxed) < events * handlers {
        tokio::task::yield_now().await;
    }
    Ok(())
}
