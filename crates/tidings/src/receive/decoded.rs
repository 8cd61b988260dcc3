//! A payload that is decoded once for several handlers. Its `Drop` is code of the application: a
//! panic there is caught and reported.

use std::any::Any;
use std::sync::Arc;

use tidings_codec::NodeId;

use crate::error::failure::{Failure, HandlerFailure};
use crate::observe::reports::Reports;
use crate::task::panic::caught;

#[derive(Debug)]
pub(crate) struct Decoded {
    /// `None` only while it is dropped.
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

    /// The payload, if it is of this type.
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
                handler: format!("{event} (drop of the payload)").into(),
                event,
                sender: self.sender,
                sequence: self.sequence,
                cause: HandlerFailure::Panicked(text),
            });
        }
    }
}
