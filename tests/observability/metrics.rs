//! Metrics, as a recorder gets them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use metrics::{
    Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tidings::{Bus, HandlerOptions, Journal, Overflow};
use tidings_testkit::{Collected, Node, Redis, memory_url, wait_for};
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::traces::open_call_sites;

const SOON: Duration = Duration::from_secs(20);
const PASSWORD: &str = "hush-hush";

/// The metrics recorded on this thread while this lives.
struct Recorded {
    handle: PrometheusHandle,
    _recorder: metrics::LocalRecorderGuard<'static>,
}

impl Recorded {
    fn new() -> Self {
        open_call_sites();
        let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
        Self {
            handle: recorder.handle(),
            _recorder: metrics::set_default_local_recorder(recorder),
        }
    }

    /// The value of a line such as `name{label="value"}`.
    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        let text = self.handle.render();
        let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
        let value = text.lines().find_map(value);
        value.unwrap_or_else(|| panic!("no {series} in\n{text}"))
    }

    fn names(&self) -> BTreeSet<String> {
        let text = self.handle.render();
        let name = |line: &str| {
            let name = line.strip_prefix("# TYPE ")?.split(' ').next()?;
            Some(name.to_owned())
        };
        text.lines().filter_map(name).collect()
    }
}

#[track_caller]
fn assert_count(recorded: &Recorded, series: &str, count: u32) {
    let value = recorded.value(series);
    assert!(
        (value - f64::from(count)).abs() < 0.5,
        "{series} is {value}, not {count}"
    );
}

/// A handler that blocks until it is released.
fn stand_still(node: &Node, event: &'static str, handling: HandlerOptions) -> Arc<Semaphore> {
    let permits = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&permits);
    let handler = move |_: u64| {
        let wait = Arc::clone(&wait);
        async move { wait.acquire().await.expect("nobody closes it").forget() }
    };
    node.on_with(event, handling, handler).unwrap();
    permits
}

/// The name and label of the queue gauge of the handler of `tick`.
fn ticks_that_wait(recorded: &Recorded) -> String {
    let text = recorded.handle.render();
    let start = "tidings_queue_events{handler=\"tick (";
    let line = text.lines().find(|line| line.starts_with(start)).unwrap();
    line.rsplit_once(' ').unwrap().0.to_owned()
}

async fn until_is(recorded: &Recorded, series: &str, count: f64) {
    wait_for(series, SOON, async || {
        (recorded.value(series) - count).abs() < 0.5
    })
    .await;
}

#[tokio::test]
async fn metrics_agree_with_health_and_with_the_events() {
    let recorded = Recorded::new();
    let mut redis = Redis::builder().password(PASSWORD).start().await;
    let node = Node::start(Bus::builder(&redis.url()).auto_register(false)).await;
    until_is(&recorded, "tidings_up", 1.0).await;

    // A handler that fails for every other event, and gets one payload that it cannot decode.
    node.on("number", async |number: u64| match number % 2 {
        0 => Ok(()),
        _ => Err("an odd number"),
    })
    .unwrap();
    for number in 0..10_u64 {
        node.send_to_all("number", &number).await.unwrap();
    }
    node.send_to_all("number", "none").await.unwrap();
    wait_for("the failures", SOON, async || node.health().failures == 6).await;

    // A handler that gets 10 events while it is busy with another one, with a queue of 2.
    let narrow = HandlerOptions::new()
        .queue(2)
        .overflow(Overflow::DropNewest);
    let permits = stand_still(&node, "tick", narrow);
    for tick in 0..11_u64 {
        node.feed("tick", &tick).await.unwrap();
    }
    node.flush().await.unwrap();
    wait_for("the overflow", SOON, async || node.health().dropped > 0).await;
    wait_for("everything is received", SOON, async || {
        node.health().received == 22
    })
    .await;
    permits.add_permits(11);

    redis.kill();
    until_is(&recorded, "tidings_up", 0.0).await;
    node.feed("number", &10).await.unwrap();
    assert!(recorded.value("tidings_send_buffer_bytes") > 0.0);
    redis.start_again().await;
    until_is(&recorded, "tidings_up", 1.0).await;
    node.flush().await.unwrap();
    wait_for("everything is received", SOON, async || {
        node.health().received == 23
    })
    .await;

    let health = node.health();
    assert_eq!((health.sent, health.reconnects), (23, 1));
    for (series, count) in [
        ("tidings_events_sent_total", health.sent),
        ("tidings_events_received_total", health.received),
        ("tidings_events_duplicate_total", health.duplicate),
        ("tidings_events_missed_total", health.missed),
        ("tidings_events_dropped_total", health.dropped),
        ("tidings_reconnects_total", health.reconnects),
        ("tidings_send_buffer_bytes", 0),
        ("tidings_failures_total{kind=\"handler\"}", 5),
        ("tidings_failures_total{kind=\"payload\"}", 1),
        ("tidings_failures_total{kind=\"frame\"}", 0),
        ("tidings_frames_sent_events_sum", 23),
        ("tidings_frames_received_events_sum", 23),
    ] {
        assert_count(&recorded, series, u32::try_from(count).unwrap());
    }
    let frames = recorded.value("tidings_frames_sent_total");
    assert!((12.0..=23.0).contains(&frames), "{frames}");
    for series in [
        "tidings_frames_received_total",
        "tidings_frames_sent_bytes_count",
    ] {
        assert!((recorded.value(series) - frames).abs() < 0.5, "{series}");
    }

    node.shutdown(SOON).await.unwrap();
    for (labels, count) in [
        ("event=\"number\",outcome=\"ok\"", 6),
        ("event=\"number\",outcome=\"failed\"", 5),
        ("event=\"number\",outcome=\"panicked\"", 0),
        ("event=\"tick\",outcome=\"ok\"", 11 - health.dropped),
    ] {
        let series = format!("tidings_handler_duration_seconds_count{{{labels}}}");
        assert_count(&recorded, &series, u32::try_from(count).unwrap());
    }
    assert_count(&recorded, "tidings_up", 0);
    assert!(!recorded.handle.render().contains(PASSWORD));
}

#[tokio::test]
async fn the_queue_of_a_handler_is_measured() {
    let recorded = Recorded::new();
    let node = Node::start(Bus::builder(&memory_url()).auto_register(false)).await;
    let permits = stand_still(&node, "tick", HandlerOptions::new());
    let series = &ticks_that_wait(&recorded);

    node.send_to_all("tick", &0).await.unwrap();
    until_is(&recorded, series, 0.0).await;
    for tick in 1..4_u64 {
        node.send_to_all("tick", &tick).await.unwrap();
    }
    until_is(&recorded, series, 3.0).await;
    permits.add_permits(4);
    until_is(&recorded, series, 0.0).await;
}

#[test]
fn the_gauges_are_zero_after_the_runtime_of_a_bus_has_ended() {
    let recorded = Recorded::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let node = runtime.block_on(async {
        let node = Node::start(Bus::builder(&memory_url()).auto_register(false)).await;
        stand_still(&node, "tick", HandlerOptions::new());
        for tick in 0..4_u64 {
            node.send_to_all("tick", &tick).await.unwrap();
        }
        until_is(&recorded, &ticks_that_wait(&recorded), 3.0).await;
        node
    });
    drop(runtime);
    drop(node);

    for series in ["tidings_up", &ticks_that_wait(&recorded)] {
        assert_count(&recorded, series, 0);
    }
}

#[tokio::test]
async fn the_name_of_a_foreign_event_is_not_a_label() {
    let recorded = Recorded::new();
    let url = memory_url();
    let node = Node::start(Bus::builder(&url).auto_register(false)).await;
    let unknown = node.collect::<_, Foreign>(<Foreign as tidings::Event>::EVENT);

    node.send_to_all("made.up", &1).await.unwrap();
    unknown.wait_for_len(1).await;
    node.shutdown(SOON).await.unwrap();

    let others = "tidings_handler_duration_seconds_count{event=\"*\",outcome=\"ok\"}";
    assert_count(&recorded, others, 1);
    assert!(!recorded.handle.render().contains("made.up"));
}

#[derive(Debug, tidings::Event)]
enum Foreign {
    #[event(other)]
    Unknown(tidings::Unknown),
}

#[tokio::test]
async fn metrics_of_a_journal_agree_with_its_health() {
    let recorded = Recorded::new();
    let redis = Redis::start().await;
    let journal = Journal::default().max_bytes(1 << 20);
    let node = redis
        .node_with(|builder| builder.auto_register(false).journal(journal))
        .await;
    let payload = "x".repeat(16 << 10);
    for _ in 0..200 {
        node.send_to_all("large", &payload).await.unwrap();
    }
    wait_for("a trim", SOON, async || {
        recorded.value("tidings_journal_trims_total") > 0.5
    })
    .await;
    redis
        .command(&["XADD", "tidings:{default}:journal", "*", "by", "hand"])
        .await;
    let foreign = "tidings_failures_total{kind=\"foreign_entry\"}";
    until_is(&recorded, foreign, 1.0).await;
    redis.command(&["FLUSHALL"]).await;
    until_is(
        &recorded,
        "tidings_gaps_total{reason=\"journal_lost\"}",
        1.0,
    )
    .await;

    for (series, least) in [
        ("tidings_journal_entries_appended_total", 200.0),
        ("tidings_journal_entries_read_total", 201.0),
        ("tidings_journal_bytes", 1_000.0),
        // At the start, and after the loss.
        ("tidings_journal_resyncs_total", 2.0),
    ] {
        let value = recorded.value(series);
        assert!(value >= least, "{series} is {value}");
    }
    let health = node.health().journal.unwrap();
    let behind = recorded.value("tidings_journal_behind_seconds");
    assert!(behind < 10.0, "{behind}, {health:?}");
    node.shutdown(SOON).await.unwrap();
    for gauge in ["bytes", "behind_seconds", "reach_seconds"] {
        assert_count(&recorded, &format!("tidings_journal_{gauge}"), 0);
    }
}

#[tokio::test]
async fn the_book_names_every_metric() {
    let recorded = Recorded::new();
    let builder = Bus::builder(&memory_url()).auto_register(false);
    let node = Node::start(builder.journal(Journal::default())).await;
    let ticks = node.collect::<_, u64>("tick");
    node.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;
    node.shutdown(SOON).await.unwrap();

    let book = include_str!("../../docs/src/observing.md");
    let name = |row: &str| {
        Some(
            row.strip_prefix("| `tidings_")?
                .split('`')
                .next()?
                .to_owned(),
        )
    };
    let in_book: BTreeSet<_> = book
        .lines()
        .filter_map(name)
        .map(|name| format!("tidings_{name}"))
        .collect();
    assert_eq!(recorded.names(), in_book);
}

#[tokio::test]
async fn tasks_that_one_response_wakes_send_their_next_events_in_one_frame() {
    const TASKS: u32 = 8;
    const ROUNDS: u32 = 20;
    let recorded = Recorded::new();
    let redis = Redis::start().await;
    let bus = Bus::builder(&redis.url()).start().await.unwrap();
    let send = async |number| {
        for _ in 0..ROUNDS {
            bus.send_to_all("number", &number).await.unwrap();
        }
    };
    join_all((0..TASKS).map(send)).await;
    assert_count(&recorded, "tidings_frames_sent_events_sum", TASKS * ROUNDS);
    let frames = recorded.value("tidings_frames_sent_total");
    // Two of each round, if the first event that follows were sent at once.
    assert!(frames < f64::from(ROUNDS + ROUNDS / 2), "{frames} frames");
}

/// A recorder that sends over the bus when a gauge falls for the first time, as a `tracing` subscriber
/// may that a recorder logs to.
#[derive(Default)]
struct Talkative(Arc<TalkativeGauge>);

#[derive(Default)]
struct TalkativeGauge {
    bus: OnceLock<Bus>,
    has_sent: AtomicBool,
}

impl GaugeFn for TalkativeGauge {
    fn increment(&self, _: f64) {}

    fn decrement(&self, _: f64) {
        if let Some(bus) = self.bus.get()
            && !self.has_sent.swap(true, Ordering::Relaxed)
        {
            bus.try_feed("fallen", &1).unwrap();
        }
    }

    fn set(&self, _: f64) {}
}

impl Recorder for Talkative {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match key.name() {
            "tidings_send_buffer_bytes" => Gauge::from_arc(Arc::clone(&self.0)),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn a_recorder_may_send_over_the_bus() {
    let (tell, received) = oneshot::channel();
    // On a thread that nobody waits for: one that hangs is left behind.
    std::thread::spawn(move || {
        let recorder = Talkative::default();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let mut runtime = Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(async {
            let node = Node::start(Bus::builder(&memory_url()).auto_register(false)).await;
            let fallen: Collected<u64> = node.collect("fallen");
            let _ = recorder.0.bus.set(node.bus().clone());
            node.send_to_all("tick", &1).await.unwrap();
            fallen.wait_for_len(1).await;
            tell.send(()).unwrap();
        });
    });

    let received = timeout(SOON, received).await;

    received.expect("the send does not hang").unwrap();
}
