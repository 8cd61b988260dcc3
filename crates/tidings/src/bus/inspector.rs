//! Answers the request `tidings.inspect` with the state of this bus.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tidings_codec::Encoder;

use crate::bus::inner::Inner;
use crate::bus::{Bus, WeakBus};
use crate::observe::connection::Connection;
use crate::observe::health::Health;
use crate::observe::inspection::{HandlerInspection, HealthInspection, Inspection, Published, cut};
use crate::observe::journal::JournalHealth;
use crate::receive::control::{ControlEvent, ControlListener};
use crate::receive::request::{REQUEST_ID, Reply, RequestMeta};
use crate::receive::routes::{Entry, Table};
use crate::task::mutex::Mutex;

/// The event name of the request.
pub(crate) const INSPECT: &str = "tidings.inspect";

/// The time for which a response is sent again.
const CACHED: Duration = Duration::from_secs(1);

/// The maximum number of bytes of the handlers in an inspection, about.
const HANDLERS: usize = 128 << 10;

/// The bytes of the numbers of a handler, about.
const NUMBERS: usize = 160;

/// The listener of the request, which is called on the receive task.
pub(crate) struct Inspector {
    bus: WeakBus,
    is_on: bool,
    contract: Published,
    /// The last response, and when it was made.
    cached: Mutex<Option<(Instant, Vec<u8>)>>,
}

impl Inspector {
    pub(crate) fn new(bus: WeakBus, is_on: bool, contract: Published) -> Arc<Self> {
        let cached = Mutex::default();
        Arc::new(Self {
            bus,
            is_on,
            contract,
            cached,
        })
    }

    /// Returns the encoded inspection, which is made at most once a second.
    fn response(&self, inner: &Inner) -> Reply {
        if !self.is_on {
            return Reply::NoHandler;
        }
        let mut cached = self.cached.lock();
        if let Some((made, response)) = &*cached
            && made.elapsed() < CACHED
        {
            return Reply::Handled(response.clone());
        }
        let mut response = Vec::new();
        let encoder = Encoder::new(inner.dispatcher.requests.format(), &mut response);
        if let Err(error) = encoder.encode(&inspect(inner, self.contract)) {
            return Reply::Failed(error.to_string());
        }
        *cached = Some((Instant::now(), response.clone()));
        Reply::Handled(response)
    }
}

impl ControlListener for Inspector {
    fn receive(&self, event: &ControlEvent<'_>) {
        respond(&self.bus, event, |bus| self.response(&bus.inner));
    }
}

/// Responds to a request of the buses themselves.
pub(super) fn respond(
    bus: &WeakBus,
    event: &ControlEvent<'_>,
    response: impl FnOnce(&Bus) -> Reply,
) {
    let meta = event.meta();
    let id = meta.and_then(|meta| meta.get(REQUEST_ID)?.parse().ok());
    let (Some(by), Some(id), Some(bus)) = (event.from, id, bus.upgrade()) else {
        return;
    };
    let response = response(&bus);
    let requests = Arc::clone(&bus.inner.dispatcher.requests);
    requests.reply(RequestMeta { by, id }, response);
}

/// Returns the state of a bus.
pub(crate) fn inspect(inner: &Inner, contract: Published) -> Inspection {
    let (handlers, unlisted_handlers) = handlers(&inner.dispatcher.lock());
    Inspection {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        program_version: inner.members.profile.version.clone().map(cut),
        contract: contract().map(|contract| contract.hash.clone()),
        taken: SystemTime::now(),
        health: health(&inner.health()),
        handlers,
        unlisted_handlers,
        gaps: inner.reports.recent.gaps(),
        failures: inner.reports.recent.failures(),
    }
}

fn health(health: &Health) -> HealthInspection {
    let since = match &health.connection {
        Connection::Up { since, .. } | Connection::Disconnected { since, .. } => {
            Some(since.elapsed())
        }
        Connection::Connecting | Connection::Closed => None,
    };
    let journal = health.journal.as_ref();
    HealthInspection {
        is_ready: health.is_ready(),
        since,
        last_received: health.last_received.map(|at| at.elapsed()),
        sent: health.sent,
        received: health.received,
        duplicate: health.duplicate,
        gaps: health.gaps,
        missed: health.missed,
        dropped: health.dropped,
        failures: health.failures,
        reconnects: health.reconnects,
        outgoing: health.outgoing as u64,
        journal_behind: journal.map(JournalHealth::behind),
    }
}

/// Returns the handlers and streams that fit, and the number of the others.
fn handlers(table: &Table) -> (Vec<HandlerInspection>, u64) {
    let (mut handlers, mut bytes, mut unlisted) = (Vec::new(), 0, 0);
    for entry in table.entries() {
        let names: usize = entry.names.iter().map(|name| name.len() + 4).sum();
        bytes += names + entry.subscription.handler.len() + NUMBERS;
        if bytes <= HANDLERS {
            handlers.push(handler(entry));
        } else {
            unlisted += 1;
        }
    }
    (handlers, unlisted)
}

fn handler(entry: &Entry) -> HandlerInspection {
    let slot = &entry.subscription;
    let calls = slot.calls_so_far();
    let mut events: Vec<_> = entry.names.iter().map(ToString::to_string).collect();
    events.extend(entry.wants_others().then(|| "*".to_owned()));
    HandlerInspection {
        handler: cut(slot.handler.to_string()),
        events,
        queue: slot.waiting() as u64,
        queue_limit: slot.options.queue as u64,
        in_progress: calls.in_progress,
        handled: calls.handled,
        failed: calls.failed,
        timed_out: calls.timed_out,
        slowest: calls.slowest,
    }
}
