//! What the parts of a bus hear themselves: events under names that begin with `tidings.`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use tidings_codec::{Format, Header, NodeId, Payload, RawEvent};

/// One of the bus's own events, as it was heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ControlEvent<'a> {
    /// Who sent it; `None` for what Redis itself announced, or a program that is no bus.
    pub(crate) from: Option<NodeId>,
    pub(crate) payload: Payload<'a>,
    event: &'a RawEvent,
    frame: &'a [u8],
}

impl<'a> ControlEvent<'a> {
    pub(crate) fn of(event: &'a RawEvent, header: Header, frame: &'a [u8]) -> Self {
        Self {
            from: header.from,
            payload: event.payload(header.format, frame),
            event,
            frame,
        }
    }

    /// What travels beside the payload, where it can be understood.
    pub(crate) fn meta(&self) -> Option<BTreeMap<String, String>> {
        let format: Format = self.payload.format();
        self.event.meta(format, self.frame).ok()
    }
}

/// A part of the bus that hears notices. It is called by the task that hears everything: it takes
/// note, and waits for nothing.
pub(crate) trait ControlListener: Send + Sync {
    fn receive(&self, event: &ControlEvent<'_>);
}

/// Who hears which notices. A part is added when it is first used, and stays.
#[derive(Default)]
pub(crate) struct ControlListeners {
    listeners: RwLock<Vec<(&'static str, Arc<dyn ControlListener>)>>,
}

impl ControlListeners {
    pub(crate) fn add(&self, name: &'static str, listener: Arc<dyn ControlListener>) {
        let mut listeners = self
            .listeners
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.push((name, listener));
    }

    /// Whether a part waits for notices.
    pub(crate) fn has_listeners(&self) -> bool {
        let listeners = self
            .listeners
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        !listeners.is_empty()
    }

    pub(crate) fn receive(&self, name: &str, event: &ControlEvent<'_>) {
        let listeners = self
            .listeners
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        for (_, listener) in listeners.iter().filter(|(wanted, _)| *wanted == name) {
            listener.receive(event);
        }
    }
}

impl fmt::Debug for ControlListeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlListeners").finish_non_exhaustive()
    }
}
