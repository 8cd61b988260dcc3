//! The cost of writing, reading and decoding an event.
#![allow(
    missing_docs,
    reason = "criterion_group! writes a public function without"
)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use tidings_codec::{Format, FrameWriter, Limits, NewEvent, NodeId, read_frame};

const EVENTS: u64 = 500;

/// An order of 124 bytes in JSON.
#[expect(clippy::struct_field_names, reason = "the fields of a real order")]
#[derive(Serialize, Deserialize)]
struct Order {
    order_id: u64,
    customer: String,
    sku: String,
    quantity: u32,
    total_cents: i64,
    sent_ns: u64,
}

impl Order {
    fn new() -> Self {
        Self {
            order_id: 123_456,
            customer: "customer-042".into(),
            sku: "sku-00001234".into(),
            quantity: 3,
            total_cents: 129_999,
            sent_ns: 1_234_567_890_123,
        }
    }
}

fn write_events(writer: &mut FrameWriter, order: &Order) {
    for _ in 0..EVENTS {
        let event = NewEvent::to_all("order.placed");
        writer
            .push(event, |into| into.encode(order))
            .expect("500 events fit a frame");
    }
}

fn codec(criterion: &mut Criterion) {
    let order = Order::new();
    assert_eq!(
        serde_json::to_vec(&order).expect("an order is JSON").len(),
        124
    );
    let mut group = criterion.benchmark_group("codec");
    // Times are per frame of 500 events, rates per event.
    group
        .throughput(Throughput::Elements(EVENTS))
        .measurement_time(Duration::from_secs(3));

    for format in [Format::Json, Format::MessagePack] {
        group.bench_function(format!("write/{format}"), |bencher| {
            bencher.iter(|| {
                let mut writer =
                    FrameWriter::with_buffer(format, NodeId::new(7), Vec::with_capacity(100_000));
                write_events(&mut writer, black_box(&order));
                writer.finish(1)
            });
        });
        group.bench_function(format!("encode alone/{format}"), |bencher| {
            let mut payloads = Vec::with_capacity(100_000);
            bencher.iter(|| {
                payloads.clear();
                for _ in 0..EVENTS {
                    format
                        .encode(black_box(&order), &mut payloads)
                        .expect("an order can be written");
                }
                payloads.len()
            });
        });

        let mut writer = FrameWriter::new(format, NodeId::new(7));
        write_events(&mut writer, &order);
        let frame = writer.finish(1);
        let mut events = Vec::new();
        group.bench_function(format!("read/{format}"), |bencher| {
            bencher.iter(|| {
                read_frame(black_box(&frame), &Limits::default(), &mut events)
                    .expect("our own frame");
                events.len()
            });
        });
        group.bench_function(format!("read and name/{format}"), |bencher| {
            bencher.iter(|| {
                read_frame(black_box(&frame), &Limits::default(), &mut events)
                    .expect("our own frame");
                events
                    .iter()
                    .flatten()
                    .map(|event| event.name(&frame).len())
                    .sum::<usize>()
            });
        });
        group.bench_function(format!("read and decode/{format}"), |bencher| {
            bencher.iter(|| {
                read_frame(black_box(&frame), &Limits::default(), &mut events)
                    .expect("our own frame");
                for event in events.iter().flatten() {
                    black_box(
                        event
                            .payload(format, &frame)
                            .decode::<Order>()
                            .expect("our own order"),
                    );
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
