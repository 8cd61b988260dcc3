//! Control events: events of the bus itself, whose names begin with `tidings.`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use tidings_codec::{Format, Header, NodeId, Payload, RawEvent};

/// A received control event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ControlEvent<'a> {
    /// The sender; `None` if a script in Redis or a foreign program sent it.
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

    /// The event's metadata, if it can be decoded.
    pub(crate) fn meta(&self) -> Option<BTreeMap<String, String>> {
        let format: Format = self.payload.format();
        self.event.meta(format, self.frame).ok()
    }
}

/// A part of the bus that receives control events. It is called on the receive task, so it must
/// not block.
pub(crate) trait ControlListener: Send + Sync {
    fn receive(&self, event: &ControlEvent<'_>);
}

/// A listener, and the name of its events.
type Named = (&'static str, Arc<dyn ControlListener>);

/// The listeners by event name. A listener is added at first use and never removed.
#[derive(Default)]
pub(crate) struct ControlListeners {
    listeners: RwLock<Vec<Named>>,
    /// Listeners that are content to receive their events when the bus polls next.
    patient: OnceLock<Vec<Named>>,
}

impl ControlListeners {
    pub(crate) fn add(&self, name: &'static str, listener: Arc<dyn ControlListener>) {
        let mut listeners = self
            .listeners
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.push((name, listener));
    }

    /// Sets the listeners that do not count in [`has_listeners`](Self::has_listeners).
    pub(crate) fn set_patient(&self, listeners: Vec<Named>) {
        let is_set = self.patient.set(listeners);
        debug_assert!(is_set.is_ok(), "a bus sets them once");
    }

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
        let all = listeners
            .iter()
            .chain(self.patient.get().into_iter().flatten());
        for (_, listener) in all.filter(|(wanted, _)| *wanted == name) {
            listener.receive(event);
        }
    }
}

impl fmt::Debug for ControlListeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlListeners").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ignores;

    impl ControlListener for Ignores {
        fn receive(&self, _event: &ControlEvent<'_>) {}
    }

    #[test]
    fn a_patient_listener_alone_does_not_make_a_bus_wait_for_frames() {
        let listeners = ControlListeners::default();
        listeners.set_patient(vec![("tidings.inspect", Arc::new(Ignores))]);
        assert!(!listeners.has_listeners());
        listeners.add("tidings.member", Arc::new(Ignores));
        assert!(listeners.has_listeners());
    }
}
