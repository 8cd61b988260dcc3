//! The cost of reading a shared value from its local copy.
#![allow(
    missing_docs,
    reason = "criterion's macros write items without documentation"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use tidings::Shared;
use tidings::prelude::*;
use tokio::runtime::Runtime;

async fn prices() -> (Bus, Shared<Vec<u64>>) {
    let builder = Bus::builder("memory:shared-bench");
    let bus = builder.start().await.expect("memory is always there");
    let prices = bus.shared("prices").expect("the name is in order");
    let first = prices.set(&vec![1; 100]).await;
    first.expect("memory takes everything");
    (bus, prices)
}

fn shared(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    let (_bus, prices) = runtime.block_on(prices());
    let mut group = criterion.benchmark_group("shared");
    group.bench_function("get", |bencher| {
        bencher.iter(|| {
            let ready = black_box(&prices).get().now_or_never();
            ready.expect("it is here").expect("it can be read")
        });
    });
    group.bench_function("peek", |bencher| bencher.iter(|| black_box(&prices).peek()));
    group.finish();
}

criterion_group!(benches, shared);
criterion_main!(benches);
