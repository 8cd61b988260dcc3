//! A frame that waits to be sent, and the fate that those who sent its events wait for.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tidings_codec::{Format, FrameWriter, NodeId};
use tokio::sync::Notify;

use crate::failure::{Fate, Reason};

/// A frame that does not know its numbers yet.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) writer: FrameWriter,
    /// Milliseconds since 1970. One time for all events of a frame: it is written once.
    pub(crate) at: u64,
    pub(crate) about: About,
}

/// What must be known of a frame to resolve it.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) since: Instant,
    pub(crate) bytes: usize,
    pub(crate) events: u64,
    pub(crate) pending: Arc<Pending>,
    /// Which of its events nobody waits for.
    pub(crate) fed: Vec<Range<u32>>,
}

/// The fate of a frame, once it has one.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    outcome: OnceLock<Outcome>,
    resolved: Notify,
    /// Events whose sender stopped waiting.
    abandoned: Mutex<Vec<u32>>,
}

/// How a frame ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Sent { first: u64, receivers: Option<u64> },
    Failed(Fate),
}

impl Pending {
    pub(crate) async fn outcome(&self) -> Outcome {
        loop {
            let resolved = self.resolved.notified();
            if let Some(outcome) = self.outcome.get() {
                return outcome.clone();
            }
            resolved.await;
        }
    }

    /// The one who sent this event will not hear of its fate. That is told as for a fed event.
    pub(crate) fn nobody_waits(&self, index: u32) {
        if self.outcome.get().is_none() {
            self.lock_abandoned().push(index);
        }
    }

    fn lock_abandoned(&self) -> MutexGuard<'_, Vec<u32>> {
        self.abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn resolve(&self, outcome: Outcome) {
        // The first fate counts.
        if self.outcome.set(outcome).is_ok() {
            self.resolved.notify_waiters();
        }
    }
}

/// A place in a frame.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// Its fate, for who waits for it.
    pub(crate) awaited: Option<Arc<Pending>>,
    pub(crate) index: u32,
    /// Whether the frame is full with it.
    pub(crate) has_closed: bool,
}

impl Open {
    pub(crate) fn new(format: Format, me: NodeId, capacity: usize) -> Self {
        let writer = FrameWriter::with_capacity(format, me, capacity);
        let about = About {
            since: Instant::now(),
            bytes: 0,
            events: 0,
            pending: Arc::default(),
            fed: Vec::new(),
        };
        let at = now_ms();
        Self { writer, at, about }
    }
}

impl Drop for About {
    /// A frame that got no fate was lost in a panic: nobody must be left waiting for it.
    fn drop(&mut self) {
        let fate = Fate::Unknown(Reason::Closed);
        self.pending.resolve(Outcome::Failed(fate));
    }
}

impl About {
    /// The events whose fate nobody waits for.
    pub(crate) fn unawaited(&self) -> Vec<u32> {
        let mut unawaited: Vec<u32> = self.fed.iter().cloned().flatten().collect();
        unawaited.append(&mut self.pending.lock_abandoned());
        unawaited
    }

    pub(crate) fn feed(&mut self, index: u32) {
        match self.fed.last_mut() {
            Some(last) if last.end == index => last.end += 1,
            _ => self.fed.push(index..index + 1),
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
