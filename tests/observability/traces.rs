//! Traces across processes.

use std::time::Duration;

use opentelemetry::Context as Spans;
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanId, SpanKind, Status, TracerProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tidings::{Bus, Context, Format};
use tidings_testkit::{Collected, Node, Redis, memory_url, wait_for};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{Instrument, info_span};
use tracing_subscriber::layer::SubscriberExt;

use crate::log_capture;

const SOON: Duration = Duration::from_secs(20);
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The spans that end on this thread while this lives.
struct Traced {
    spans: InMemorySpanExporter,
    _provider: SdkTracerProvider,
    _subscriber: tracing::subscriber::DefaultGuard,
}

impl Traced {
    fn new() -> Self {
        open_call_sites();
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let spans = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(spans.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("a test"));
        let subscriber = tracing_subscriber::registry().with(layer);
        Self {
            spans,
            _provider: provider,
            _subscriber: tracing::subscriber::set_default(subscriber),
        }
    }

    fn all(&self, name: &str) -> Vec<SpanData> {
        let spans = self.spans.get_finished_spans().unwrap();
        spans.into_iter().filter(|span| span.name == name).collect()
    }

    async fn only(&self, name: &str) -> SpanData {
        wait_for(name, SOON, async || !self.all(name).is_empty()).await;
        let mut spans = self.all(name);
        assert_eq!(spans.len(), 1, "{spans:?}");
        spans.remove(0)
    }
}

/// Registers a subscriber that wants every call site. While there is only one, `tracing` asks it on
/// the thread that reaches a call site first, and keeps the answer for all threads: a test without
/// a subscriber would disable the call site for the other tests.
pub(super) fn open_call_sites() {
    drop(log_capture::log());
}

fn field(span: &SpanData, key: &str) -> Option<String> {
    let field = span
        .attributes
        .iter()
        .find(|field| field.key.as_str() == key)?;
    Some(field.value.to_string())
}

/// Asserts that `below` was sent within `above`, in the same trace.
#[track_caller]
fn assert_below(below: &SpanData, above: &SpanData) {
    assert_eq!(below.span_context.trace_id(), above.span_context.trace_id());
    assert_eq!(below.parent_span_id, above.span_context.span_id());
}

async fn two_nodes(redis: &Redis, format: Format) -> (Node, Node) {
    let builder = || {
        Bus::builder(&redis.url())
            .format(format)
            .auto_register(false)
    };
    (Node::start(builder()).await, Node::start(builder()).await)
}

async fn a_trace_reaches_the_handler(format: Format) {
    let traced = Traced::new();
    let redis = Redis::start().await;
    let (sender, subscriber) = two_nodes(&redis, format).await;
    let ticks: Collected<u64> = subscriber.collect("tick");

    let sending = sender.send_to_all("tick", &1);
    sending.instrument(info_span!("request")).await.unwrap();

    ticks.wait_for_len(1).await;
    let (request, send, handle) = (
        traced.only("request").await,
        traced.only("tidings.send").await,
        traced.only("tidings.handle").await,
    );
    assert_below(&send, &request);
    assert_below(&handle, &send);
    assert!(handle.parent_span_is_remote);
    assert_eq!(send.span_kind, SpanKind::Producer);
    assert_eq!(handle.span_kind, SpanKind::Consumer);
    let fields = ["event", "sender", "sequence"].map(|key| field(&handle, key));
    let expected = ["tick".to_owned(), sender.id().to_string(), "1".to_owned()];
    assert_eq!(fields, expected.map(Some));
}

#[tokio::test]
async fn a_trace_reaches_the_handler_in_json() {
    a_trace_reaches_the_handler(Format::Json).await;
}

#[tokio::test]
async fn a_trace_reaches_the_handler_in_messagepack() {
    a_trace_reaches_the_handler(Format::MessagePack).await;
}

#[tokio::test]
async fn a_trace_continues_with_the_events_that_a_handler_sends() {
    let traced = Traced::new();
    let redis = Redis::start().await;
    let (sender, subscriber) = two_nodes(&redis, Format::Json).await;
    let second: Collected<u64> = sender.collect("second");
    subscriber
        .on("first", async |number: u64, context: Context| {
            context.bus().feed("second", &number).await
        })
        .unwrap();

    let sending = sender.send_to_all("first", &1);
    sending.instrument(info_span!("request")).await.unwrap();

    second.wait_for_len(1).await;
    wait_for("both calls", SOON, async || {
        traced.all("tidings.handle").len() == 2
    })
    .await;
    let spans = traced.all("tidings.handle");
    let of = |event: &str| {
        let is_of = |span: &&SpanData| field(span, "event").as_deref() == Some(event);
        spans.iter().find(is_of).unwrap()
    };
    assert_below(of("second"), of("first"));
}

#[tokio::test]
async fn a_handler_that_fails_is_seen_in_the_trace() {
    let traced = Traced::new();
    let node = Node::start(Bus::builder(&memory_url()).auto_register(false)).await;
    node.on("tick", async |_: u64| Err::<(), _>("no")).unwrap();

    node.send_to_all("tick", &1).await.unwrap();

    let handle = traced.only("tidings.handle").await;
    assert!(matches!(handle.status, Status::Error { .. }), "{handle:?}");
}

#[tokio::main(flavor = "current_thread")]
async fn handle_an_event() {
    let node = Node::start(Bus::builder(&memory_url()).auto_register(false)).await;
    let ticks: Collected<u64> = node.collect("tick");
    node.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;
}

#[tokio::test]
async fn a_bus_on_a_thread_without_a_subscriber_hides_no_call_on_other_threads() {
    let traced = Traced::new();
    std::thread::spawn(handle_an_event).join().unwrap();
    let node = Node::start(Bus::builder(&memory_url()).auto_register(false)).await;
    let ticks: Collected<u64> = node.collect("tick");

    node.send_to_all("tick", &1).await.unwrap();

    ticks.wait_for_len(1).await;
    traced.only("tidings.handle").await;
}

#[tokio::test]
async fn no_trace_context_is_sent_outside_of_a_span() {
    let traced = Traced::new();
    let redis = Redis::start().await;
    let (sender, subscriber) = two_nodes(&redis, Format::Json).await;
    let ticks: Collected<u64> = subscriber.collect("tick");

    sender.send_to_all("tick", &1).await.unwrap();

    ticks.wait_for_len(1).await;
    let handle = traced.only("tidings.handle").await;
    assert_eq!(handle.parent_span_id, SpanId::INVALID);
    assert!(traced.all("tidings.send").is_empty());
}

/// Publishes an event with this `meta`, and returns the span of its handler.
async fn heard_with(meta: &str) -> SpanData {
    let traced = Traced::new();
    let url = memory_url();
    let node = Node::start(Bus::builder(&url).auto_register(false)).await;
    let ticks: Collected<u64> = node.collect("tick");
    let frame = format!(r#"{{"event":"tick","meta":{meta},"data":1}}"#);

    let name = url.strip_prefix("memory:").unwrap();
    tidings::memory::publish(name, "default", frame.into_bytes()).await;

    ticks.wait_for_len(1).await;
    traced.only("tidings.handle").await
}

#[tokio::test]
async fn a_foreign_program_can_take_part() {
    let meta = format!(r#"{{"traceparent":"{PARENT}","tracestate":"vendor=1","other":"x"}}"#);

    let handle = heard_with(&meta).await;

    let span = &handle.span_context;
    assert!(PARENT.contains(&span.trace_id().to_string()));
    assert!(PARENT.contains(&handle.parent_span_id.to_string()));
    assert_eq!(span.trace_state().header(), "vendor=1");
}

#[tokio::test]
async fn an_invalid_trace_context_is_ignored() {
    let upper = PARENT.to_uppercase();
    let nothing = format!("00-{:032}-{:016}-01", 0, 0);
    for parent in ["", "00-00-00-00", "ä", &upper, &nothing] {
        let meta = format!(r#"{{"traceparent":"{parent}","tracestate":"vendor=1"}}"#);

        let handle = heard_with(&meta).await;

        assert_eq!(handle.parent_span_id, SpanId::INVALID, "{parent}");
        assert_eq!(handle.span_context.trace_state().header(), "", "{parent}");
    }
}

/// A propagator that uses the bus, as a `tracing` subscriber may that it logs to.
#[derive(Debug)]
struct Curious(Bus, TraceContextPropagator);

impl TextMapPropagator for Curious {
    fn inject_context(&self, spans: &Spans, injector: &mut dyn Injector) {
        self.1.inject_context(spans, injector);
    }

    fn extract_with_context(&self, spans: &Spans, headers: &dyn Extractor) -> Spans {
        drop(self.0.stream::<_, u64>("other"));
        self.1.extract_with_context(spans, headers)
    }

    fn fields(&self) -> FieldIter<'_> {
        self.1.fields()
    }
}

#[tokio::test]
async fn a_propagator_may_use_the_bus() {
    let (tell, handled) = oneshot::channel();
    // On a thread and a runtime that nobody waits for: a task that hangs is left behind.
    std::thread::spawn(move || {
        Runtime::new().unwrap().block_on(async {
            let url = memory_url();
            let node = Node::start(Bus::builder(&url).auto_register(false)).await;
            let curious = Curious(node.bus().clone(), TraceContextPropagator::new());
            opentelemetry::global::set_text_map_propagator(curious);
            let ticks: Collected<u64> = node.collect("tick");
            let frame =
                format!(r#"{{"event":"tick","meta":{{"traceparent":"{PARENT}"}},"data":1}}"#);

            let name = url.strip_prefix("memory:").unwrap();
            tidings::memory::publish(name, "default", frame.into_bytes()).await;

            ticks.wait_for_len(1).await;
            tell.send(()).unwrap();
        });
    });

    let handled = timeout(SOON, handled).await;

    handled.expect("the receive task does not hang").unwrap();
}
