//! Control events: events of the bus itself, whose names begin with `tidings.`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use tidings_codec::{Format, Header, NodeId, Payload, RawEvent};

use crate::task::mutex::Mutex;

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
    listeners: Mutex<Arc<Vec<Named>>>,
    /// Listeners that are content to receive their events when the bus polls next.
    patient: OnceLock<Vec<Named>>,
}

impl ControlListeners {
    pub(crate) fn add(&self, name: &'static str, listener: Arc<dyn ControlListener>) {
        Arc::make_mut(&mut self.listeners.lock()).push((name, listener));
    }

    /// Sets the listeners that do not count in [`has_listeners`](Self::has_listeners).
    pub(crate) fn set_patient(&self, listeners: Vec<Named>) {
        let is_set = self.patient.set(listeners);
        debug_assert!(is_set.is_ok(), "a bus sets them once");
    }

    pub(crate) fn has_listeners(&self) -> bool {
        !self.listeners.lock().is_empty()
    }

    pub(crate) fn receive(&self, name: &str, event: &ControlEvent<'_>) {
        // Not under the lock: a listener may run code of the application, which may add another one.
        let listeners = Arc::clone(&self.listeners.lock());
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
    use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
    use std::thread;
    use std::time::Duration;

    use tidings_codec::{Limits, read_frame};

    use super::*;

    struct Ignores;

    impl ControlListener for Ignores {
        fn receive(&self, _event: &ControlEvent<'_>) {}
    }

    /// Adds a listener, as the code of an application does that uses a part of the bus for the first time.
    struct AddsAnother(Arc<ControlListeners>, Sender<()>);

    impl ControlListener for AddsAnother {
        fn receive(&self, _event: &ControlEvent<'_>) {
            self.0.add("tidings.member", Arc::new(Ignores));
            self.1.send(()).unwrap();
        }
    }

    #[test]
    fn a_listener_may_add_another_one() {
        let listeners = Arc::new(ControlListeners::default());
        let (tell, added) = channel();
        let adds = AddsAnother(Arc::clone(&listeners), tell);
        listeners.add("tidings.map", Arc::new(adds));
        // On a thread that nobody waits for: one that hangs is left behind.
        thread::spawn(move || {
            let (frame, mut events) = (br#"{"event":"tidings.map","data":1}"#, Vec::new());
            let header = read_frame(frame, &Limits::default(), &mut events).unwrap();
            let event = events[0].as_ref().unwrap();
            listeners.receive("tidings.map", &ControlEvent::of(event, header, frame));
        });

        let added = added.recv_timeout(Duration::from_secs(10));

        assert_ne!(added, Err(RecvTimeoutError::Timeout));
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
