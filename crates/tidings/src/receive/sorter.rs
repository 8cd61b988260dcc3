//! Sorts the events of a frame into one batch for each subscription. No I/O.

use std::sync::Arc;

use bytes::Bytes;
use tidings_codec::{EventError, Header, NodeId, RawEvent, To};

use crate::event::header::Headers;
use crate::event::name::is_control_event;
use crate::event::position::Journaled;
use crate::observe::reports::Reports;
use crate::observe::trace::Remote;
use crate::receive::batch::{Batch, Extras, Item, Shared, Unfinished};
use crate::receive::control::ControlEvent;
use crate::receive::dispatch::Dispatcher;
use crate::receive::request::{IncomingRequest, Reply, RequestMeta, request_meta};
use crate::receive::routes::{Place, Route, Table};
use crate::receive::subscription::SubscriptionSlot;

/// Payloads are copied if they are less than one in this many bytes of the frame: a queue must
/// not keep a large frame alive for one small event.
const KEEP_FRAME_FROM: usize = 4;

/// Sorts the events of a frame by the subscriptions that want them.
#[derive(Debug)]
pub(crate) struct Sorter {
    me: NodeId,
    dispatcher: Arc<Dispatcher>,
    reports: Arc<Reports>,
    /// The events of the current frame, for each slot of the table.
    wanted: Vec<Vec<Item>>,
    /// The slots with events.
    touched: Vec<usize>,
}

/// The parts of a frame that are handled after the table is unlocked, because a control listener
/// may register a subscription.
#[derive(Default)]
struct Deferred {
    control: Vec<RawEvent>,
    replies: Vec<(RequestMeta, Reply)>,
    malformed: Vec<EventError>,
}

/// A received frame with its events.
#[derive(Debug)]
pub(crate) struct Arrived<'a> {
    pub(crate) bytes: &'a Bytes,
    pub(crate) header: Header,
    /// The place of the frame in the journal, if it was read there.
    pub(crate) journaled: Option<Journaled>,
    /// Dropped with the last event of the frame in any queue.
    pub(crate) unfinished: Option<&'a Unfinished>,
    /// Which of the events are handed on.
    pub(crate) handing: Handing,
    pub(crate) events: &'a mut Vec<Result<RawEvent, EventError>>,
}

/// Which events of a frame are handed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Handing {
    #[default]
    All,
    /// Those for this node alone: another process handles the others.
    Addressed,
    /// All others: those for this node alone were handed on before.
    Unaddressed,
    /// None: all were handed on before.
    Nothing,
}

impl Handing {
    fn takes(self, is_addressed: bool) -> bool {
        match self {
            Self::All => true,
            Self::Addressed => is_addressed,
            Self::Unaddressed => !is_addressed,
            Self::Nothing => false,
        }
    }
}

impl Arrived<'_> {
    /// The request, if the event is one. A replayed one was answered, or its sender has stopped waiting.
    #[inline]
    fn request(&self, event: &RawEvent) -> Option<RequestMeta> {
        let is_replayed = self
            .journaled
            .is_some_and(|journaled| journaled.is_replayed);
        let request = request_meta(event, self.header, self.bytes);
        request.filter(|_| !is_replayed)
    }
}

impl Deferred {
    /// Keeps the error of a malformed event.
    #[inline]
    fn well_formed(&mut self, event: Result<RawEvent, EventError>) -> Option<RawEvent> {
        event.map_err(|error| self.malformed.push(error)).ok()
    }

    /// Answers a request that no handler receives.
    fn without_handler(&mut self, request: Option<RequestMeta>, is_over: bool) {
        if let Some(request) = request {
            self.replies
                .push((request, Reply::without_handler(is_over)));
        }
    }
}

impl Sorter {
    pub(crate) fn new(me: NodeId, dispatcher: &Arc<Dispatcher>, reports: &Arc<Reports>) -> Self {
        Self {
            me,
            dispatcher: Arc::clone(dispatcher),
            reports: Arc::clone(reports),
            wanted: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// Returns one batch for each subscription that wants events of this frame. Malformed events
    /// are passed to `report`.
    pub(crate) fn sort(
        &mut self,
        mut arrived: Arrived<'_>,
        report: impl FnMut(EventError),
    ) -> Vec<(Arc<SubscriptionSlot>, Batch)> {
        let (bytes, header) = (arrived.bytes, arrived.header);
        let mut deferred = Deferred::default();
        let dispatcher = Arc::clone(&self.dispatcher);
        let remotes = self.remotes(&arrived);
        let batches = self.sort_by(&dispatcher.lock(), &mut arrived, &remotes, &mut deferred);
        deferred.malformed.into_iter().for_each(report);
        for event in &deferred.control {
            let control_event = ControlEvent::of(event, header, bytes);
            dispatcher
                .control
                .receive(event.name(bytes), &control_event);
        }
        for (request, reply) in deferred.replies {
            Arc::clone(&dispatcher.requests).reply(request, reply);
        }
        batches
    }

    fn sort_by(
        &mut self,
        table: &Table,
        arrived: &mut Arrived<'_>,
        remotes: &[Remote],
        deferred: &mut Deferred,
    ) -> Vec<(Arc<SubscriptionSlot>, Batch)> {
        let (bytes, header) = (arrived.bytes, arrived.header);
        if self.wanted.len() < table.slots() {
            self.wanted.resize_with(table.slots(), Vec::new);
        }
        let mut unknown_names: Vec<Arc<str>> = Vec::new();
        let mut has_headers = false;
        let all = (!table.all().is_empty()).then(|| table.all());
        let mut events = std::mem::take(arrived.events);
        for (index, event) in events.drain(..).enumerate() {
            let event = deferred.well_formed(event);
            let Some(event) = event.filter(|event| self.is_for_me(event.to, header.from)) else {
                continue;
            };
            if arrived.handing != Handing::All && self.is_left_out(&event, arrived) {
                deferred.without_handler(arrived.request(&event), table.is_over());
                continue;
            }
            let (route, behind, all) = match table.route(event.name_bytes(bytes)) {
                Some(route) => (route, 0, all),
                None if is_control_event(event.name_bytes(bytes)) => {
                    deferred.control.push(event);
                    continue;
                }
                None if table.others().is_empty() => {
                    deferred.without_handler(arrived.request(&event), table.is_over());
                    continue;
                }
                None => {
                    let index = add_name(&mut unknown_names, &event, bytes);
                    (table.others(), index, None)
                }
            };
            let number = header.seq.map_or(0, |first| first + index as u64);
            let remote = remotes.get(index).cloned().unwrap_or_default();
            let mut extras = None;
            if event.has_meta() {
                let handlers = route.len() + all.map_or(0, Route::len);
                extras = self.extras(&event, arrived, handlers);
                has_headers = true;
            }
            let item = |name, shared| Item {
                name,
                payload: event.payload_range(),
                number,
                at: event.at,
                remote: remote.clone(),
                shared,
            };
            self.put(route, extras.as_ref(), |place, shared| {
                item(place.name + behind, shared)
            });
            if let Some(all) = all {
                let index = add_name(&mut unknown_names, &event, bytes);
                self.put(all, extras.as_ref(), |_, shared| item(index, shared));
            }
        }
        *arrived.events = events;
        self.batches(table, arrived, &unknown_names, has_headers)
    }

    /// Returns the spans in which the events were sent, of those with a handler; empty if no event has
    /// headers. Not under the lock of the table: the propagator is code of the application, and may log.
    fn remotes(&self, arrived: &Arrived<'_>) -> Vec<Remote> {
        let (bytes, header) = (arrived.bytes, arrived.header);
        let has_meta = |event: &Result<RawEvent, _>| event.as_ref().is_ok_and(RawEvent::has_meta);
        // Without the feature `opentelemetry` there is nothing to read.
        if size_of::<Remote>() == 0 || !arrived.events.iter().any(has_meta) {
            return Vec::new();
        }
        let is_handled = |event: &RawEvent| {
            let is_for_me = self.is_for_me(event.to, header.from);
            is_for_me && self.dispatcher.lock().wants(event.name_bytes(bytes))
        };
        let remote = |event: &Result<RawEvent, _>| match event {
            Ok(event) if event.has_meta() && is_handled(event) => {
                Remote::of(event, header.format, bytes)
            }
            _ => Remote::default(),
        };
        arrived.events.iter().map(remote).collect()
    }

    /// Reads what an event for this many handlers has besides its payload.
    #[cold]
    fn extras(&self, event: &RawEvent, arrived: &Arrived<'_>, handlers: usize) -> Option<Extras> {
        let request = arrived
            .request(event)
            .map(|request| IncomingRequest::new(&self.dispatcher.requests, request, handlers));
        let meta = event
            .meta(arrived.header.format, arrived.bytes)
            .unwrap_or_default();
        let headers = Headers::of(meta);
        Extras::new(request, headers)
    }

    fn is_for_me(&self, to: To, from: Option<NodeId>) -> bool {
        match to {
            To::All => true,
            To::Others => from != Some(self.me),
            To::Node(node) => node == self.me,
        }
    }

    /// Returns true if another process handles the event, or it was handled before.
    #[cold]
    fn is_left_out(&self, event: &RawEvent, arrived: &Arrived<'_>) -> bool {
        let is_addressed = event.to == To::Node(self.me);
        !arrived.handing.takes(is_addressed)
    }

    fn put(
        &mut self,
        route: &Route,
        extras: Option<&Extras>,
        item: impl Fn(&Place, Option<Arc<Shared>>) -> Item,
    ) {
        if let (Some(only), None) = (route.only(), extras) {
            return self.want(only, item(only, None));
        }
        let shared: Vec<_> = (0..route.shared()).map(|_| Shared::new(extras)).collect();
        for place in route.places() {
            let shared = match place.shared {
                Some(index) => Some(Arc::clone(&shared[index])),
                None => extras.map(|extras| Shared::new(Some(extras))),
            };
            self.want(place, item(place, shared));
        }
    }

    fn want(&mut self, place: &Place, item: Item) {
        let wanted = &mut self.wanted[place.slot];
        if wanted.is_empty() {
            self.touched.push(place.slot);
        }
        wanted.push(item);
    }

    fn batches(
        &mut self,
        table: &Table,
        arrived: &Arrived<'_>,
        unknown_names: &[Arc<str>],
        has_headers: bool,
    ) -> Vec<(Arc<SubscriptionSlot>, Batch)> {
        let mut batches = Vec::with_capacity(self.touched.len());
        for slot in self.touched.drain(..) {
            let entry = table.entry(slot);
            let wanted = &mut self.wanted[slot];
            let next = Vec::with_capacity(wanted.len());
            let mut events = std::mem::replace(wanted, next);
            let bytes = keep_or_copy(arrived.bytes, &mut events);
            let header_bytes = if has_headers {
                events
                    .iter()
                    .filter_map(Item::headers)
                    .map(|headers| headers.bytes())
                    .sum()
            } else {
                0
            };
            let names = if entry.wants_others() && !unknown_names.is_empty() {
                entry.names.iter().chain(unknown_names).cloned().collect()
            } else {
                Arc::clone(&entry.names)
            };
            let (format, from) = (arrived.header.format, arrived.header.from);
            batches.push((
                Arc::clone(&entry.subscription),
                Batch {
                    bytes,
                    format,
                    from,
                    names,
                    events,
                    header_bytes,
                    journaled: arrived.journaled,
                    unfinished: arrived.unfinished.cloned(),
                    reports: Arc::clone(&self.reports),
                },
            ));
        }
        batches
    }
}

/// Adds the name of an event for subscriptions that do not name it, and returns its index.
fn add_name(names: &mut Vec<Arc<str>>, event: &RawEvent, bytes: &[u8]) -> u32 {
    names.push(Arc::from(event.name(bytes)));
    u32::try_from(names.len() - 1).expect("a frame has fewer names than bytes")
}

/// Returns the frame itself, or a copy of the payloads if they are a small part of it.
fn keep_or_copy(frame: &Bytes, events: &mut [Item]) -> Bytes {
    let wanted: usize = events.iter().map(|event| event.payload.len()).sum();
    if wanted * KEEP_FRAME_FROM >= frame.len() {
        return frame.clone();
    }
    let mut copy = Vec::with_capacity(wanted);
    for event in events {
        let start = u32::try_from(copy.len()).expect("a copy is smaller than its frame");
        copy.extend_from_slice(&frame[event.payload.start as usize..event.payload.end as usize]);
        event.payload = start..start + (event.payload.end - event.payload.start);
    }
    copy.into()
}
