//! The cost of an event from a sender to its handlers, without Redis.
#![allow(
    missing_docs,
    reason = "criterion's macros write items without documentation"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidings::prelude::*;
use tokio::runtime::Runtime;

#[derive(Debug, Serialize, Deserialize)]
struct OrderPlaced {
    order: u64,
    customer: String,
    sku: String,
    quantity: u32,
    total_cents: i64,
    sent_ns: u64,
}

fn order(order: u64) -> OrderPlaced {
    OrderPlaced {
        order,
        customer: "cust-0001234".to_owned(),
        sku: "sku-98765432".to_owned(),
        quantity: 3,
        total_cents: 12_999,
        sent_ns: 1_700_000_000_000_000_000,
    }
}

/// A bus, and how many calls its handlers have had.
struct Rig {
    bus: Bus,
    calls: Arc<AtomicU64>,
    handlers: u64,
}

impl Rig {
    async fn new(format: Format, handlers: u64) -> Self {
        let builder = Bus::builder("memory:dispatch-bench").format(format);
        let bus = builder.start().await.expect("memory is always there");
        let calls = Arc::new(AtomicU64::new(0));
        for _ in 0..handlers {
            let calls = Arc::clone(&calls);
            let handler = move |_: OrderPlaced| {
                calls.fetch_add(1, Ordering::Relaxed);
                std::future::ready(())
            };
            bus.on("order.placed", handler)
                .expect("the handler is in order");
        }
        Self {
            bus,
            calls,
            handlers,
        }
    }

    /// Sends `wanted` events with `unwanted` others before each, until all are handled.
    async fn run(&self, wanted: u64, unwanted: u64) -> Duration {
        let goal = self.calls.load(Ordering::Relaxed) + wanted * self.handlers;
        let start = Instant::now();
        for number in 0..wanted {
            for _ in 0..unwanted {
                self.bus
                    .feed("order.seen", &order(number))
                    .await
                    .expect("there is room");
            }
            self.bus
                .feed("order.placed", &order(number))
                .await
                .expect("there is room");
        }
        while self.calls.load(Ordering::Relaxed) < goal {
            tokio::task::yield_now().await;
        }
        start.elapsed()
    }
}

fn dispatch(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    let mut group = criterion.benchmark_group("memory");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for (name, format) in [("json", Format::Json), ("msgpack", Format::MessagePack)] {
        for handlers in [1, 8] {
            let rig = runtime.block_on(Rig::new(format, handlers));
            group.bench_function(format!("{name}, {handlers} handlers"), |bencher| {
                bencher.iter_custom(|events| runtime.block_on(rig.run(events, 0)));
            });
        }
        let rig = runtime.block_on(Rig::new(format, 1));
        group.bench_function(format!("{name}, one wanted and one unwanted"), |bencher| {
            bencher.iter_custom(|events| runtime.block_on(rig.run(events, 1)));
        });
    }
    group.finish();
}

/// The start and end of a stream, with this many other subscriptions, to other names or to its own.
fn streams(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    let _entered = runtime.enter();
    let mut group = criterion.benchmark_group("a stream");
    for others in [0, 1_000, 100_000] {
        for (names, is_one) in [("other names", false), ("its own name", true)] {
            let starting = Bus::builder("memory:streams-bench").start();
            let bus = runtime.block_on(starting).expect("memory is always there");
            let began = Instant::now();
            for n in 0..others {
                let name = if is_one {
                    "tick".to_owned()
                } else {
                    format!("tick.{n}")
                };
                bus.on(name.as_str(), async |_: u64| ())
                    .expect("the handler is in order");
            }
            println!("{others} registered with {names} in {:?}", began.elapsed());
            group.bench_function(format!("with {others} of {names}"), |bencher| {
                bencher.iter(|| bus.stream::<_, u64>("tick").expect("the name is in order"));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, dispatch, streams);
criterion_main!(benches);
