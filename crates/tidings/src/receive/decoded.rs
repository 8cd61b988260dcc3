//! A payload that is decoded once for several handlers. What it does when it is dropped is the
//! application's code, wherever the last of them is done with it: a panic there is reported.

use std::any::Any;
use std::sync::Arc;

use tidings_codec::NodeId;

use crate::error::failure::{Failure, HandlerFailure};
use crate::observe::reports::Reports;
use crate::task::panic::caught;

#[derive(Debug)]
pub(crate) struct Decoded {
    /// There until it is dropped.
    value: Option<Arc<dyn Any + Send + Sync>>,
    event: Arc<str>,
    sender: Option<NodeId>,
    sequence: Option<u64>,
    reports: Arc<Reports>,
}

impl Decoded {
    pub(crate) fn new<E: Send + Sync + 'static>(
        payload: E,
        event: Arc<str>,
        (sender, sequence): (Option<NodeId>, Option<u64>),
        reports: Arc<Reports>,
    ) -> Self {
        Self {
            value: Some(Arc::new(payload)),
            event,
            sender,
            sequence,
            reports,
        }
    }

    /// The payload, for a handler that takes this type.
    pub(crate) fn get<E: Send + Sync + 'static>(&self) -> Option<Arc<E>> {
        let value = Arc::clone(self.value.as_ref()?);
        value.downcast().ok()
    }
}

impl Drop for Decoded {
    fn drop(&mut self) {
        let value = self.value.take();
        if let Err(text) = caught(|| drop(value)) {
            let event = self.event.to_string();
            self.reports.failure(Failure::Handler {
                handler: format!("{event} (a payload that was dropped)").into(),
                event,
                sender: self.sender,
                sequence: self.sequence,
                cause: HandlerFailure::Panicked(text),
            });
        }
    }
}
