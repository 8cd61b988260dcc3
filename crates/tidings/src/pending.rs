//! A frame that waits to be sent, and the fate that those who sent its events wait for.

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tidings_codec::{Format, FrameWriter, NodeId};
use tokio::sync::Notify;

use crate::failure::Fate;

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

    pub(crate) fn resolve(&self, outcome: Outcome) {
        // Only the sender resolves, and only once.
        let _ = self.outcome.set(outcome);
        self.resolved.notify_waiters();
    }
}

/// A place in a frame.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) pending: Arc<Pending>,
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

impl About {
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
