//! Trace context as W3C writes it: the span that sends travels with its events, and each call of a
//! handler is a span below it, in whatever process.

use std::sync::Arc;

use opentelemetry::Context as Spans;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tidings_codec::{Format, NodeId, RawEvent};
use tracing::field::{self, Empty};
use tracing::instrument::Instrumented;
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// What W3C asks everybody to pass on of a state; a longer one is left behind.
const STATE_LIMIT: usize = 512;

/// The span that sends, as its events carry it.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    parent: String,
    state: String,
}

impl Carried {
    pub(crate) const NOTHING: Self = Self {
        parent: String::new(),
        state: String::new(),
    };

    /// Asks the subscriber, so no lock may be held.
    pub(crate) fn current() -> Self {
        let spans = Span::current().context();
        let span = spans.span();
        let span = span.span_context();
        if !span.is_valid() {
            return Self::default();
        }
        let mut state = span.trace_state().header();
        if state.len() > STATE_LIMIT {
            state.clear();
        }
        let parent = written(span);
        Self { parent, state }
    }

    pub(crate) fn meta(&self) -> Vec<(&str, &str)> {
        [(PARENT, &*self.parent), (STATE, &*self.state)]
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .collect()
    }
}

/// The sender's span, as far as an event says something that can be understood.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remote(Option<Arc<SpanContext>>);

impl Remote {
    pub(crate) fn of(event: &RawEvent, format: Format, frame: &[u8]) -> Self {
        let meta = event.meta(format, frame).unwrap_or_default();
        let state = meta.get(STATE).map_or("", String::as_str);
        let span = meta.get(PARENT).and_then(|parent| read(parent, state));
        Self(span.map(Arc::new))
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
        if let (Some(remote), false) = (&remote.0, span.is_disabled()) {
            let remote = SpanContext::clone(remote);
            let _ = span.set_parent(Spans::new().with_remote_span_context(remote));
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

/// A send that somebody waits for, in a span below the caller's. Where there is none, the send is
/// no trace of its own.
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

/// Version 0: the trace, the span, and whether it is recorded.
fn written(span: &SpanContext) -> String {
    let flags = span.trace_flags() & TraceFlags::SAMPLED;
    format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id())
}

/// A later version may say more after what version 0 says; one that is not valid counts as none.
fn read(parent: &str, state: &str) -> Option<SpanContext> {
    let (this, rest) = parent.split_at_checked(55)?;
    let [version, trace, span, flags] = this.split('-').collect::<Vec<_>>().try_into().ok()?;
    let rest_fits = rest.is_empty() || version != "00" && rest.starts_with('-');
    let is_known = is_hex(version, 2) && version != "ff" && rest_fits;
    if !is_known || !is_hex(trace, 32) || !is_hex(span, 16) || !is_hex(flags, 2) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let span = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        flags,
        true,
        read_state(state).unwrap_or_default(),
    );
    span.is_valid().then_some(span)
}

/// Only what can be printed: a program may put it into a header of its own requests.
fn read_state(state: &str) -> Option<TraceState> {
    let fits = state.len() <= STATE_LIMIT && state.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    fits.then(|| state.parse().ok())?
}

/// In lower case: anything else must be ignored.
fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_written_is_read() {
        let span = read(PARENT, "vendor=1,other=2").unwrap();
        assert!(span.is_remote() && span.is_sampled());
        assert_eq!(written(&span), PARENT);
        assert_eq!(span.trace_state().header(), "vendor=1,other=2");
    }

    #[test]
    fn a_later_version_may_say_more() {
        let later = format!("cc{}-and-more", &PARENT[2..]);
        assert_eq!(written(&read(&later, "").unwrap()), PARENT);
    }

    #[test]
    fn what_is_broken_is_ignored() {
        let upper = PARENT.to_uppercase();
        let long = format!("{PARENT}-and-more");
        let no_trace = format!("00-{:032}-00f067aa0ba902b7-01", 0);
        let no_span = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{:016}-01", 0);
        let version = format!("ff{}", &PARENT[2..]);
        let moved = PARENT.replace("6-0", "-60");
        let wide = format!("{}ä", &PARENT[..54]);
        let plus = PARENT.replace("-01", "-+1");
        for broken in [
            "",
            "00",
            &PARENT[..54],
            &upper,
            &long,
            &no_trace,
            &no_span,
            &version,
            &moved,
            &wide,
            &plus,
        ] {
            assert!(read(broken, "").is_none(), "{broken}");
        }
    }

    #[test]
    fn a_state_that_is_broken_or_too_long_costs_only_itself() {
        let long = format!("vendor={}", "x".repeat(STATE_LIMIT));
        for state in ["no pair", "Vendor=1", "vendor=1\r\nx: y", &long] {
            let span = read(PARENT, state).unwrap();
            assert_eq!(span.trace_state().header(), "", "{state}");
        }
    }
}
