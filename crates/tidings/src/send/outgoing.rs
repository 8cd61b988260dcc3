//! The outgoing queue: callers encode their events directly into the next frame.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tidings_codec::{EncodeError, Encoder, Format, NewEvent as Event, NodeId, To, WriteError};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::error::send::{FlushError, SendError};
use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::observe::metrics::{Change, Level};
use crate::observe::reports::Reports;
use crate::observe::trace::Carried;
use crate::send::encoding::Encoding;
use crate::send::frame::{FrameMeta, FrameResult, OpenFrame, Outcome, Slot};
use crate::send::given_up::GivenUpEvents;
use crate::task::inline::InlineTask;
use crate::task::mutex::Mutex;

/// The size in bytes at which a frame is closed. Measured: 256 KiB has 25-50 % more throughput
/// than 64 KiB, and 1 MiB no more than that.
const FRAME: usize = 256 << 10;

/// The maximum bytes of fed events that wait while Redis is reachable: more would only add latency.
const AHEAD: usize = 2 << 20;

/// The number of events at which a frame is closed: half of what a receiver accepts.
const EVENTS: u32 = 32_768;

/// The age at which a frame that cannot be sent is closed: events are given up by the age of their
/// frame.
const SLICE: Duration = Duration::from_secs(1);

/// The maximum number of sent frames whose memory is kept.
const SPARE: usize = 2;

/// The maximum number of yields to tasks that add events to a frame, while another frame is in
/// flight.
const JOINS: usize = 8;

/// The bounded queue of events that wait to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) me: NodeId,
    pub(crate) format: Format,
    settings: Settings,
    given_up: Arc<GivenUpEvents>,
    state: Mutex<OutgoingState>,
    /// Wakes the send task while it is idle.
    sender: AtomicWaker,
    /// True if an event can be sent at once: no frame is in flight, and none is expected to be shared.
    is_idle: AtomicBool,
    /// The send task: the caller that adds the first event of a frame polls it inline.
    send_task: OnceLock<Weak<InlineTask>>,
    room: Notify,
    /// A copy of the state's `bytes`, readable without the lock.
    bytes: Arc<AtomicUsize>,
    level: Level,
}

/// The builder's settings for sending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// The maximum number of bytes that wait.
    pub(crate) limit: usize,
    /// The maximum time that an event waits.
    pub(crate) timeout: Duration,
    /// True if events fail at once while Redis is unreachable.
    pub(crate) is_volatile: bool,
}

#[derive(Debug, Default)]
struct OutgoingState {
    open: Option<OpenFrame>,
    closed: VecDeque<OpenFrame>,
    /// The bytes of all frames that are not resolved, including those in flight.
    bytes: usize,
    events: u64,
    /// The result of the newest frame: frames are resolved in order.
    newest: Option<Arc<FrameResult>>,
    capacity: usize,
    /// True if the last frame had several events: its result wakes several callers, whose next events
    /// share a frame if the first of them is not sent at once.
    was_shared: bool,
    /// The memory of sent frames, for the next ones.
    spare: Vec<Vec<u8>>,
    is_unreachable: bool,
    /// The reason why no more events are accepted; `None` while open.
    shut: Option<SendFailure>,
}

/// An event before it is written to a frame, without its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unwritten<'a> {
    pub(crate) name: &'a str,
    pub(crate) to: To,
    pub(crate) carried: &'a Carried,
    /// The metadata, without the trace.
    pub(crate) meta: &'a [(&'a str, &'a str)],
}

/// Events that are not in the outgoing queue yet. They are reported as not sent if this is dropped
/// with the future of the send.
#[derive(Debug)]
pub(crate) struct StillUnwritten<'a> {
    outgoing: &'a Outgoing,
    event: &'a str,
    events: usize,
}

impl StillUnwritten<'_> {
    /// Waits for a future that the events need.
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

/// The recipients of an event, its metadata, and the queue that it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address<'a> {
    pub(crate) to: To,
    pub(crate) meta: &'a [(&'a str, &'a str)],
    pub(crate) lane: Lane,
}

/// The lane of an event. With a journal, each lane has its own frames and numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// An event, which a journal keeps.
    Events,
    /// A request, which is useless when it is late.
    Requests,
}

impl From<To> for Address<'_> {
    fn from(to: To) -> Self {
        Self {
            to,
            meta: &[],
            lane: Lane::Events,
        }
    }
}

/// The kind of a send: its caller awaits the result or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Awaited,
    Fed,
}

/// Options of one send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) wait: Wait,
    /// True if it fails at once while Redis is unreachable.
    pub(crate) is_volatile: bool,
}

impl Outgoing {
    pub(crate) fn new(
        me: NodeId,
        format: Format,
        settings: Settings,
        reports: Arc<Reports>,
    ) -> Self {
        let given_up = Arc::new(GivenUpEvents::new(reports));
        Self::with_list(me, format, settings, given_up)
    }

    /// Another queue of this bus. Both have one list of undelivered events.
    pub(crate) fn another(&self) -> Self {
        let given_up = Arc::clone(&self.given_up);
        Self::with_list(self.me, self.format, self.settings, given_up)
    }

    fn with_list(
        me: NodeId,
        format: Format,
        settings: Settings,
        given_up: Arc<GivenUpEvents>,
    ) -> Self {
        Self {
            me,
            format,
            settings,
            given_up,
            state: Mutex::default(),
            sender: AtomicWaker::new(),
            is_idle: AtomicBool::new(false),
            send_task: OnceLock::new(),
            room: Notify::new(),
            bytes: Arc::default(),
            level: Level::bytes(
                "tidings_send_buffer_bytes",
                "bytes that wait for Redis to take them",
            ),
        }
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
        let timeout = tokio::time::sleep(self.settings.timeout);
        tokio::pin!(timeout);
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if let Some(slot) = self.try_append(event, manner, &encode)? {
                return Ok(slot);
            }
            tokio::select! {
                () = room => {}
                () = &mut timeout => return Err(self.no_room(event.name, manner.wait)),
            }
        }
    }

    /// Encodes an event into the next frame; returns `None` if the queue is full.
    pub(crate) fn try_append(
        &self,
        event: Unwritten<'_>,
        manner: Manner,
        encode: &impl Fn(Encoder<'_>) -> Result<(), EncodeError>,
    ) -> Result<Option<Slot>, SendError> {
        let Some(encoding) = Encoding::begin(self) else {
            let event = event.name.to_owned();
            let source = EncodeError::Recursive;
            return Err(SendError::Encode { event, source });
        };
        let mut lock = self.state.lock();
        let state = &mut *lock;
        match state.shut {
            None => {}
            Some(SendFailure::RuntimeEnded) => return Err(SendError::RuntimeEnded),
            Some(_) => return Err(SendError::Closed),
        }
        if state.is_unreachable && (manner.is_volatile || self.settings.is_volatile) {
            return Err(SendError::new(
                event.name,
                Unconfirmed::NotSent(SendFailure::Unreachable),
            ));
        }
        if state.bytes >= self.limit(manner.wait, state.is_unreachable) {
            return Ok(None);
        }
        // At most two rounds: an event that does not fit into a new frame is too large, not `Full`.
        let slot = loop {
            match self.write(state, event, manner.wait, encode) {
                Err(WriteError::Full) => state.close(),
                written => break written,
            }
        };
        let change = self.note_bytes(state.bytes);
        drop(lock);
        self.level.add(change);
        drop(encoding);
        let slot = slot.map_err(|error| send_error(event.name, error))?;
        // The send task waits only while the queue is empty.
        if slot.index == 0 {
            self.wake_sender();
        }
        Ok(Some(slot))
    }

    /// The error of an event for which there is no room.
    pub(crate) fn no_room(&self, event: &str, wait: Wait) -> SendError {
        let limit = self.limit(wait, self.state.lock().is_unreachable);
        let why = SendFailure::QueueFull { limit };
        SendError::new(event, Unconfirmed::NotSent(why))
    }

    pub(crate) fn set_sender(&self, send_task: &Arc<InlineTask>) {
        let _ = self.send_task.set(Arc::downgrade(send_task));
    }

    /// Sends the next frame: polls the send task inline if no frame is in flight, and wakes it
    /// otherwise, so that events that are added until then share the frame.
    fn wake_sender(&self) {
        let Some(waker) = self.sender.take() else {
            return;
        };
        let send_task = self.send_task.get().filter(|_| self.is_idle.load(Relaxed));
        match send_task.and_then(Weak::upgrade) {
            Some(send_task) => send_task.poll_inline(),
            None => waker.wake(),
        }
    }

    /// The age at which a frame that cannot be sent is closed.
    pub(crate) fn slice(&self) -> Duration {
        SLICE.min(self.settings.timeout)
    }

    #[inline]
    fn limit(&self, wait: Wait, is_unreachable: bool) -> usize {
        match wait {
            Wait::Fed if !is_unreachable => self.settings.limit.min(AHEAD),
            Wait::Fed | Wait::Awaited => self.settings.limit,
        }
    }

    fn write(
        &self,
        state: &mut OutgoingState,
        event: Unwritten<'_>,
        wait: Wait,
        encode: &impl Fn(Encoder<'_>) -> Result<(), EncodeError>,
    ) -> Result<Slot, WriteError> {
        let is_new = state.open.is_none();
        let open = state.open.get_or_insert_with(|| {
            let mut buffer = state.spare.pop().unwrap_or_default();
            // A spare one may be of a short frame.
            buffer.reserve(state.capacity);
            OpenFrame::new(self.format, self.me, buffer, &self.given_up)
        });
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
                    state.open = None;
                }
                return Err(error);
            }
        };
        let awaited = match wait {
            Wait::Awaited => Some(Arc::clone(&open.meta.pending)),
            Wait::Fed => {
                open.meta.feed(index);
                None
            }
        };
        if index == 0 {
            state.newest = Some(Arc::clone(&open.meta.pending));
        }
        open.meta.bytes += written;
        open.meta.events += 1;
        state.bytes += written;
        state.events += 1;
        let has_closed = open.writer.len() >= FRAME || open.writer.events() >= EVENTS;
        if has_closed {
            state.close();
        }
        Ok(Slot {
            awaited,
            index,
            has_closed,
        })
    }

    /// Returns the oldest frame to send. `is_idle` means that no frame is in flight.
    pub(crate) async fn next(&self, is_idle: bool) -> OpenFrame {
        let is_idle = is_idle && !self.state.lock().was_shared;
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

    /// Ready if the queue is not empty.
    fn poll_filled(&self, cx: &Context<'_>) -> Poll<()> {
        self.sender.register(cx.waker());
        // After the registration: an event may have been added just before it.
        if self.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Yields to other tasks for as long as they add events: a reply of Redis usually wakes many
    /// at once, and their next events can share a frame.
    async fn let_others_join(&self) {
        let mut before = 0;
        for _ in 0..JOINS {
            let events = self.state.lock().events;
            if events == before {
                return;
            }
            before = events;
            yield_now().await;
        }
    }

    pub(crate) fn take(&self) -> Option<OpenFrame> {
        self.state.lock().take()
    }

    /// Takes all frames whose timeout has passed.
    pub(crate) fn expired(&self, now: Instant) -> Vec<OpenFrame> {
        let mut state = self.state.lock();
        state.close_if_old(self.slice());
        let is_young =
            |open: &OpenFrame| now.duration_since(open.meta.since) < self.settings.timeout;
        let expired = state
            .closed
            .iter()
            .position(is_young)
            .unwrap_or(state.closed.len());
        state.closed.drain(..expired).collect()
    }

    /// The time at which the oldest waiting frame must be given up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let state = self.state.lock();
        let oldest = state.closed.front().or(state.open.as_ref())?;
        Some(oldest.meta.since + self.settings.timeout)
    }

    /// Sets the outcome of a frame and frees its bytes.
    pub(crate) fn resolve(&self, meta: &FrameMeta, outcome: Outcome) {
        let mut state = self.state.lock();
        state.bytes -= meta.bytes;
        let change = self.note_bytes(state.bytes);
        state.events -= meta.events;
        drop(state);
        self.level.add(change);
        meta.pending.resolve(outcome);
        self.room.notify_waiters();
    }

    /// Keeps the memory of a sent frame for the next ones: memory that is freed and allocated again
    /// costs a page fault for every 4 KiB.
    pub(crate) fn reuse(&self, frame: Bytes) {
        // A subscriber in this process may still read it.
        let Ok(mut buffer) = frame.try_into_mut() else {
            return;
        };
        // Nothing is copied into the `Vec`.
        buffer.clear();
        let mut state = self.state.lock();
        if state.spare.len() < SPARE {
            state.spare.push(buffer.into());
        }
    }

    /// Waits until all frames that are in the queue now are resolved.
    pub(crate) async fn settled(&self) {
        let newest = self.state.lock().newest.clone();
        if let Some(newest) = newest {
            newest.outcome().await;
        }
    }

    /// Guards events of one name until they are in the queue.
    pub(crate) fn unwritten<'a>(&'a self, event: &'a str, events: usize) -> StillUnwritten<'a> {
        StillUnwritten {
            outgoing: self,
            event,
            events,
        }
    }

    /// Returns the events that were given up since the last call, as an error.
    pub(crate) fn take_undelivered(&self) -> Result<(), FlushError> {
        self.given_up.take()
    }

    /// Sets the state of the connection. While Redis is unreachable, more may be fed, and a
    /// volatile bus rejects events.
    pub(crate) fn set_unreachable(&self, is_unreachable: bool) {
        self.state.lock().is_unreachable = is_unreachable;
        // The limit of fed events has changed.
        self.room.notify_waiters();
    }

    /// Accepts no more events. The first reason counts.
    pub(crate) fn shut(&self, why: SendFailure) {
        self.state.lock().shut.get_or_insert(why);
        self.room.notify_waiters();
    }

    /// Returns true if nothing waits. Frames in flight do not count.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.open.is_none() && state.closed.is_empty()
    }

    /// The number of bytes that wait.
    pub(crate) fn bytes(&self) -> &Arc<AtomicUsize> {
        &self.bytes
    }

    fn note_bytes(&self, bytes: usize) -> Change {
        self.bytes.store(bytes, Relaxed);
        self.level.note(bytes)
    }

    /// The number of events without an outcome.
    pub(crate) fn unresolved(&self) -> u64 {
        self.state.lock().events
    }
}

impl OutgoingState {
    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.closed.push_back(open);
        }
    }

    fn close_if_old(&mut self, age: Duration) {
        let is_old = |open: &OpenFrame| open.meta.since.elapsed() >= age;
        if self.open.as_ref().is_some_and(is_old) {
            self.close();
        }
    }

    fn take(&mut self) -> Option<OpenFrame> {
        let open = self.closed.pop_front().or_else(|| self.open.take())?;
        self.was_shared = open.writer.events() > 1;
        // The next frame will be about as long as this one. Not a power of two: the buffer of a short
        // frame, doubled as it grows, would be a little too small for a full one.
        self.capacity = open.writer.len().next_multiple_of(512) + 128;
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
        // It did not fit an empty frame.
        _ => SendError::TooLarge {
            event,
            bytes: FRAME,
            limit: FRAME,
        },
    }
}
