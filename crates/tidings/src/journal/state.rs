//! The state of a journal that the bus and its tasks share.

use std::sync::Arc;

use tidings_codec::NodeId;
use tokio::sync::watch;

use crate::journal::marks::Marks;
use crate::journal::options::Journal;
use crate::journal::role::Durable;
use crate::keyspace::journal::{Entry, JournalStore};
use crate::observe::journal::JournalMeter;
use crate::send::outgoing::Outgoing;
use crate::send::window::SendWindow;
use crate::task::mutex::Mutex;
use crate::transport::journal::Appending;

/// The state of a journal that the bus and its tasks share.
pub(crate) struct JournalState {
    pub(crate) options: Journal,
    /// The durable name, if the bus has one.
    pub(crate) durable: Option<Arc<Durable>>,
    /// The queue of what is sent to the journal.
    pub(crate) outgoing: Arc<Outgoing>,
    /// The frames that were sent to the journal and not read from it yet.
    pub(crate) window: Arc<SendWindow>,
    /// The journal over the connection that appends; `None` while there is none.
    pub(crate) store: watch::Sender<Option<Arc<dyn JournalStore>>>,
    /// True once the entries were read that were in the journal when the bus started.
    pub(crate) caught_up: watch::Sender<bool>,
    pub(crate) marks: Mutex<Marks>,
    pub(crate) meter: Arc<JournalMeter>,
    pub(crate) appending: Arc<Appending>,
}

impl JournalState {
    pub(crate) fn new(options: Journal, outgoing: Outgoing, me: NodeId) -> Self {
        let limits = (options.max_age, options.max_bytes);
        // A small journal would be trimmed before the bus has read what it sent itself.
        let ahead = usize::try_from(options.max_bytes / 2).unwrap_or(usize::MAX);
        let durable = options.durable.clone();
        let meter = Arc::new(JournalMeter::new());
        let durable = durable.map(|name| Durable::new(name, me, limits, Arc::clone(&meter)));
        Self {
            durable: durable.map(Arc::new),
            marks: Mutex::new(Marks::new(options.max_bytes)),
            appending: Arc::new(Appending::new(options.confirm, ahead)),
            options,
            outgoing: Arc::new(outgoing),
            window: Arc::new(SendWindow::up_to(ahead)),
            store: watch::Sender::new(None),
            caught_up: watch::Sender::new(false),
            meter,
        }
    }

    /// Takes in entries that were read, to trim by bytes.
    pub(crate) fn mark(&self, entries: &[Entry]) {
        let mut marks = self.marks.lock();
        for entry in entries {
            marks.read(entry.id, entry.len());
        }
    }
}
