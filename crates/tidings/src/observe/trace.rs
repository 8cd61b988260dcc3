//! Trace context: events carry the span that they were sent in, and each handler call is a child of
//! it, in any process.

use std::collections::BTreeMap;

use opentelemetry::Context as Spans;
use opentelemetry::global::get_text_map_propagator;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TraceContextExt;
use tidings_codec::{Format, NodeId, RawEvent};
use tracing::field::{self, Empty};
use tracing::instrument::Instrumented;
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The length of `tracestate` that W3C requires programs to propagate.
const LIMIT: usize = 512;

/// The headers that the program's propagator writes for the span that sends.
#[derive(Debug)]
pub(crate) struct Carried(BTreeMap<String, String>);

impl Carried {
    pub(crate) const NOTHING: Self = Self(BTreeMap::new());

    /// Calls the `tracing` subscriber, so no lock may be held.
    pub(crate) fn current() -> Self {
        let spans = Span::current().context();
        let mut carried = Self::NOTHING;
        get_text_map_propagator(|propagator| propagator.inject_context(&spans, &mut carried));
        carried
    }

    pub(crate) fn meta(&self) -> Vec<(&str, &str)> {
        let headers = self.0.iter();
        headers.map(|(name, text)| (&**name, &**text)).collect()
    }
}

impl Injector for Carried {
    fn set(&mut self, name: &str, text: String) {
        if is_header(&text) {
            self.0.insert(name.to_owned(), text);
        }
    }
}

impl Extractor for Carried {
    fn get(&self, name: &str) -> Option<&str> {
        let text = self.0.get(name).map(String::as_str);
        text.filter(|text| is_header(text))
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

/// Whether all characters are printable: a program may copy the value into a header of its own requests.
fn is_header(text: &str) -> bool {
    (1..=LIMIT).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// The sender's span, as far as the program's propagator can read it from an event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remote(Spans);

impl Remote {
    pub(crate) fn of(event: &RawEvent, format: Format, frame: &[u8]) -> Self {
        let headers = Carried(event.meta(format, frame).unwrap_or_default());
        if headers.0.is_empty() {
            return Self::default();
        }
        Self(get_text_map_propagator(|propagator| {
            propagator.extract_with_context(&Spans::new(), &headers)
        }))
    }
}

/// The span of one call of a handler.
#[derive(Debug)]
pub(crate) struct Call(Span);

impl Call {
    pub(crate) fn new(
        remote: &Remote,
        event: &str,
        sender: Option<NodeId>,
        sequence: Option<u64>,
        handler: &str,
    ) -> Self {
        let span = info_span!(
            parent: None,
            "tidings.handle",
            event,
            sender = sender.map(field::display),
            sequence,
            handler,
            otel.kind = "consumer",
            otel.status_code = Empty,
        );
        if remote.0.has_active_span() {
            let _ = span.set_parent(remote.0.clone());
        }
        Self(span)
    }

    pub(crate) fn around<F: Future>(&self, call: F) -> Instrumented<F> {
        call.instrument(self.0.clone())
    }

    pub(crate) fn end(&self, is_ok: bool) {
        tell(&self.0, is_ok);
    }
}

/// A send that is awaited, in a child span of the caller's. A send outside of a span starts no trace.
pub(crate) async fn sending<T, E>(
    event: &str,
    sending: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    if Span::current().is_none() {
        return sending.await;
    }
    let span = info_span!(
        "tidings.send",
        event,
        otel.kind = "producer",
        otel.status_code = Empty,
    );
    let sent = sending.instrument(span.clone()).await;
    tell(&span, sent.is_ok());
    sent
}

fn tell(span: &Span, is_ok: bool) {
    if !is_ok {
        span.record("otel.status_code", "ERROR");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_header_is_neither_sent_nor_read() {
        let long = "x".repeat(LIMIT + 1);
        for text in ["", "vendor=1\r\nx: y", "ä", &long] {
            let mut carried = Carried::NOTHING;
            carried.set("tracestate", text.to_owned());
            assert!(carried.meta().is_empty(), "{text}");

            carried.0.insert("tracestate".to_owned(), text.to_owned());
            assert_eq!(carried.get("tracestate"), None, "{text}");
        }
    }
}
