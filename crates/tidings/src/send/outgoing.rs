//! The outgoing queue: events are encoded here by their callers, straight into the next frame.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use tidings_codec::{EncodeError, Encoder, Format, NewEvent as Event, NodeId, To, WriteError};
use tokio::sync::Notify;
use tokio::task::yield_now;

use crate::error::send::{FlushError, SendError};
use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::observe::metrics::Level;
use crate::observe::reports::Reports;
use crate::observe::trace::Carried;
use crate::send::frame::{FrameMeta, FrameResult, OpenFrame, Outcome, Slot};
use crate::send::given_up::GivenUpEvents;
use crate::task::inline::InlineTask;

/// A frame is closed once it is this long. Measured: 256 KiB carries 25-50 % more than 64 KiB at
/// full speed, and 1 MiB brings nothing more.
const FRAME: usize = 256 << 10;

/// While Redis is there, `feed` runs this far ahead of it: more would only make every event late.
const AHEAD: usize = 4 << 20;

/// A frame is closed at this many events: half of what a receiver accepts.
const EVENTS: u32 = 32_768;

/// A frame that cannot leave is closed at this age, so that events are given up by their own age.
const SLICE: Duration = Duration::from_secs(1);

/// How often the sender gives way to those who bring more events for a frame, while another one is
/// under way. A turn of tokio's ends after 61 tasks.
const JOINS: usize = 8;

/// What waits to be sent, up to a bound.
#[derive(Debug)]
pub(crate) struct Outgoing {
    me: NodeId,
    pub(crate) format: Format,
    settings: Settings,
    given_up: Arc<GivenUpEvents>,
    inside: Mutex<OutgoingState>,
    /// Wakes the sender, while it has nothing to do.
    sender: AtomicWaker,
    /// Whether nothing is under way either, so that an event can leave at once.
    is_idle: AtomicBool,
    /// The sender itself: who brings the first event of a frame then sends it, too.
    driven: OnceLock<Weak<InlineTask>>,
    room: Notify,
    /// As `bytes` inside, for who only wants to look.
    bytes: Arc<AtomicUsize>,
    level: Level,
}

/// What the builder decided about sending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How many bytes may wait.
    pub(crate) limit: usize,
    /// How long an event may wait.
    pub(crate) patience: Duration,
    /// Whether events fail at once while Redis is away.
    pub(crate) is_volatile: bool,
}

#[derive(Debug, Default)]
struct OutgoingState {
    open: Option<OpenFrame>,
    closed: VecDeque<OpenFrame>,
    /// The bytes of all frames that are not resolved, those under way included.
    bytes: usize,
    events: u64,
    /// The fate of the newest frame: frames are resolved in order.
    newest: Option<Arc<FrameResult>>,
    capacity: usize,
    is_unreachable: bool,
    /// Why nothing new is taken, once nothing is.
    shut: Option<Shut>,
}

/// Why the queue takes nothing new.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shut {
    /// The bus is shut down or dropped.
    Closed,
    /// The runtime of the bus has ended.
    RuntimeEnded,
}

/// An event on its way into a frame: all but its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unwritten<'a> {
    pub(crate) name: &'a str,
    pub(crate) to: To,
    pub(crate) carried: &'a Carried,
    /// What travels beside the payload, but for the trace.
    pub(crate) meta: &'a [(&'a str, &'a str)],
}

/// Events that have no place in the outgoing queue yet. Where this is dropped before they have, because
/// the future of the send was, they are reported: they do not leave.
#[derive(Debug)]
pub(crate) struct StillUnwritten<'a> {
    outgoing: &'a Outgoing,
    event: &'a str,
    events: usize,
}

impl StillUnwritten<'_> {
    /// Waits for something that they need.
    pub(crate) async fn wait<T>(mut self, needed: impl Future<Output = T>) -> T {
        let output = needed.await;
        self.events = 0;
        output
    }
}

impl Drop for StillUnwritten<'_> {
    fn drop(&mut self) {
        let given_up = &self.outgoing.given_up;
        given_up.report_unwritten(self.event, self.events);
    }
}

/// Who an event is for, and what travels beside its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address<'a> {
    pub(crate) to: To,
    pub(crate) meta: &'a [(&'a str, &'a str)],
}

impl From<To> for Address<'_> {
    fn from(to: To) -> Self {
        Self { to, meta: &[] }
    }
}

/// Whether somebody waits for what becomes of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Awaited,
    Fed,
}

/// How one event is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) wait: Wait,
    /// Whether it fails at once while Redis is away.
    pub(crate) is_volatile: bool,
}

impl Outgoing {
    pub(crate) fn new(
        me: NodeId,
        format: Format,
        settings: Settings,
        reports: Arc<Reports>,
    ) -> Self {
        Self {
            me,
            format,
            settings,
            given_up: Arc::new(GivenUpEvents::new(reports)),
            inside: Mutex::default(),
            sender: AtomicWaker::new(),
            is_idle: AtomicBool::new(false),
            driven: OnceLock::new(),
            room: Notify::new(),
            bytes: Arc::default(),
            level: Level::of_outgoing(),
        }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn settings(&self) -> Settings {
        self.settings
    }

    /// Encodes an event into the next frame; waits while the queue is full.
    pub(crate) async fn append(
        &self,
        event: Unwritten<'_>,
        manner: Manner,
        encode: impl Fn(Encoder<'_>) -> Result<(), EncodeError>,
    ) -> Result<Slot, SendError> {
        let patience = tokio::time::sleep(self.settings.patience);
        tokio::pin!(patience);
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if let Some(ticket) = self.try_append(event, manner, &encode)? {
                return Ok(ticket);
            }
            tokio::select! {
                () = room => {}
                () = &mut patience => {
                    let reason = SendFailure::QueueFull { limit: self.settings.limit };
                    return Err(SendError::new(event.name, Unconfirmed::NotSent(reason)));
                }
            }
        }
    }

    /// The same at once; `None` when there is no room.
    pub(crate) fn try_append(
        &self,
        event: Unwritten<'_>,
        manner: Manner,
        encode: &impl Fn(Encoder<'_>) -> Result<(), EncodeError>,
    ) -> Result<Option<Slot>, SendError> {
        let mut lock = self.lock();
        let inside = &mut *lock;
        match inside.shut {
            Some(Shut::Closed) => return Err(SendError::Closed),
            Some(Shut::RuntimeEnded) => return Err(SendError::RuntimeEnded),
            None => {}
        }
        if inside.is_unreachable && (manner.is_volatile || self.settings.is_volatile) {
            return Err(SendError::new(
                event.name,
                Unconfirmed::NotSent(SendFailure::Unreachable),
            ));
        }
        if inside.bytes >= self.limit(manner.wait, inside.is_unreachable) {
            return Ok(None);
        }
        let ticket = match self.write(inside, event, manner.wait, encode) {
            Err(WriteError::Full) => {
                inside.close();
                self.write(inside, event, manner.wait, encode)
            }
            written => written,
        };
        drop(lock);
        let ticket = ticket.map_err(|error| send_error(event.name, error))?;
        self.move_on();
        Ok(Some(ticket))
    }

    pub(crate) fn set_sender(&self, driven: &Arc<InlineTask>) {
        let _ = self.driven.set(Arc::downgrade(driven));
    }

    /// Lets what waits leave. Where nothing is under way it leaves from here; otherwise the sender
    /// is woken, and what else comes in the meantime travels along.
    fn move_on(&self) {
        let Some(waker) = self.sender.take() else {
            return;
        };
        let driven = self.driven.get().filter(|_| self.is_idle.load(Relaxed));
        match driven.and_then(Weak::upgrade) {
            Some(driven) => driven.move_on(),
            None => waker.wake(),
        }
    }

    /// How old a frame may get that cannot leave: events are given up by the age of their frame.
    pub(crate) fn slice(&self) -> Duration {
        SLICE.min(self.settings.patience)
    }

    /// How many bytes may wait.
    fn limit(&self, wait: Wait, is_unreachable: bool) -> usize {
        match wait {
            Wait::Fed if !is_unreachable => self.settings.limit.min(AHEAD),
            Wait::Fed | Wait::Awaited => self.settings.limit,
        }
    }

    fn write(
        &self,
        inside: &mut OutgoingState,
        event: Unwritten<'_>,
        wait: Wait,
        encode: &impl Fn(Encoder<'_>) -> Result<(), EncodeError>,
    ) -> Result<Slot, WriteError> {
        let is_new = inside.open.is_none();
        let capacity = inside.capacity;
        let open = inside
            .open
            .get_or_insert_with(|| OpenFrame::new(self.format, self.me, capacity, &self.given_up));
        let index = open.writer.events();
        let trace = event.carried.meta();
        let with_trace;
        let meta = if event.meta.is_empty() {
            &trace[..]
        } else {
            with_trace = [event.meta, &trace[..]].concat();
            &with_trace
        };
        let event = Event {
            name: event.name,
            to: event.to,
            at: Some(open.at),
            meta,
        };
        let written = match open.writer.push(event, encode) {
            Ok(written) => written,
            Err(error) => {
                if is_new {
                    inside.open = None;
                }
                return Err(error);
            }
        };
        let awaited = match wait {
            Wait::Awaited => Some(Arc::clone(&open.about.pending)),
            Wait::Fed => {
                open.about.feed(index);
                None
            }
        };
        if index == 0 {
            inside.newest = Some(Arc::clone(&open.about.pending));
        }
        open.about.bytes += written;
        open.about.events += 1;
        inside.bytes += written;
        self.set_bytes(inside.bytes);
        inside.events += 1;
        let has_closed = open.writer.len() >= FRAME || open.writer.events() >= EVENTS;
        if has_closed {
            inside.close();
        }
        Ok(Slot {
            awaited,
            index,
            has_closed,
        })
    }

    /// The next frame to send, the oldest first. `is_idle` says that nothing else is under way.
    pub(crate) async fn next(&self, is_idle: bool) -> OpenFrame {
        self.is_idle.store(is_idle, Relaxed);
        if let Some(open) = self.take() {
            return open;
        }
        poll_fn(|cx| self.poll_filled(cx)).await;
        if !is_idle {
            self.let_others_join().await;
        }
        loop {
            if let Some(open) = self.take() {
                return open;
            }
            poll_fn(|cx| self.poll_filled(cx)).await;
        }
    }

    /// Ready when there is something to send.
    fn poll_filled(&self, cx: &Context<'_>) -> Poll<()> {
        self.sender.register(cx.waker());
        // After the registration: something may have come just before it.
        if self.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Gives way to the tasks that run now, as long as they bring events: the last answer woke many
    /// at once, as a rule, and their events can travel together.
    async fn let_others_join(&self) {
        let mut before = 0;
        for _ in 0..JOINS {
            let events = self.lock().events;
            if events == before {
                return;
            }
            before = events;
            yield_now().await;
        }
    }

    pub(crate) fn take(&self) -> Option<OpenFrame> {
        self.lock().take()
    }

    /// Takes all frames that are older than the patience by now.
    pub(crate) fn expired(&self, now: Instant) -> Vec<OpenFrame> {
        let mut inside = self.lock();
        inside.close_if_old(self.slice());
        let is_young =
            |open: &OpenFrame| now.duration_since(open.about.since) < self.settings.patience;
        let expired = inside
            .closed
            .iter()
            .position(is_young)
            .unwrap_or(inside.closed.len());
        inside.closed.drain(..expired).collect()
    }

    /// When the oldest waiting frame must be given up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let inside = self.lock();
        let oldest = inside.closed.front().or(inside.open.as_ref())?;
        Some(oldest.about.since + self.settings.patience)
    }

    /// Gives a frame its fate and its bytes back to the queue.
    pub(crate) fn resolve(&self, about: &FrameMeta, outcome: Outcome) {
        let mut inside = self.lock();
        inside.bytes -= about.bytes;
        self.set_bytes(inside.bytes);
        inside.events -= about.events;
        drop(inside);
        about.pending.resolve(outcome);
        self.room.notify_waiters();
    }

    /// Waits until all that is in the queue now has its why.
    pub(crate) async fn settled(&self) {
        let newest = self.lock().newest.clone();
        if let Some(newest) = newest {
            newest.outcome().await;
        }
    }

    /// Begins to wait for what this many events of one name need before they have a place here.
    pub(crate) fn unwritten<'a>(&'a self, event: &'a str, events: usize) -> StillUnwritten<'a> {
        StillUnwritten {
            outgoing: self,
            event,
            events,
        }
    }

    /// Which fed events were given up since the last call.
    pub(crate) fn take_unsent(&self) -> Result<(), FlushError> {
        self.given_up.take()
    }

    /// While Redis is away, more may be fed, and a volatile bus refuses events.
    pub(crate) fn set_unreachable(&self, is_unreachable: bool) {
        self.lock().is_unreachable = is_unreachable;
        // More may wait while Redis is away than while it is there.
        self.room.notify_waiters();
    }

    /// Takes nothing new. The first reason stands.
    pub(crate) fn shut(&self, why: Shut) {
        self.lock().shut.get_or_insert(why);
        self.room.notify_waiters();
    }

    /// Whether nothing waits. Frames that were taken and not resolved do not count.
    pub(crate) fn is_empty(&self) -> bool {
        let inside = self.lock();
        inside.open.is_none() && inside.closed.is_empty()
    }

    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> &Arc<AtomicUsize> {
        &self.bytes
    }

    fn set_bytes(&self, bytes: usize) {
        self.bytes.store(bytes, Relaxed);
        self.level.set(bytes);
    }

    /// How many events have no fate yet.
    pub(crate) fn unresolved(&self) -> u64 {
        self.lock().events
    }

    fn lock(&self) -> MutexGuard<'_, OutgoingState> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutgoingState {
    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.closed.push_back(open);
        }
    }

    fn close_if_old(&mut self, age: Duration) {
        let is_old = |open: &OpenFrame| open.about.since.elapsed() >= age;
        if self.open.as_ref().is_some_and(is_old) {
            self.close();
        }
    }

    fn take(&mut self) -> Option<OpenFrame> {
        let open = self.closed.pop_front().or_else(|| self.open.take())?;
        // The next frame will be about as long as this one.
        self.capacity = open.writer.len().next_multiple_of(512);
        Some(open)
    }
}

fn send_error(event: &str, error: WriteError) -> SendError {
    let event = event.to_owned();
    match error {
        WriteError::Name(source) => SendError::Name { event, source },
        WriteError::Encode(source) => SendError::Encode { event, source },
        WriteError::TooLarge { bytes, limit } => SendError::TooLarge {
            event,
            bytes,
            limit,
        },
        // An empty frame was tried already: it is too large for any.
        _ => SendError::TooLarge {
            event,
            bytes: FRAME,
            limit: FRAME,
        },
    }
}
