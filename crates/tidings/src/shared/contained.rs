//! Drops values and closures of the application. A panic while one is dropped is reported and ends
//! no task.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::error::failure::Failure;
use crate::observe::reports::Reports;
use crate::task::panic::caught;

pub(crate) struct ContainedDrop<V> {
    /// `None` only while it is dropped.
    value: Option<V>,
    shared: Arc<str>,
    reports: Arc<Reports>,
}

impl<V> ContainedDrop<V> {
    pub(crate) fn new(value: V, shared: &Arc<str>, reports: &Arc<Reports>) -> Self {
        Self {
            value: Some(value),
            shared: Arc::clone(shared),
            reports: Arc::clone(reports),
        }
    }
}

/// Drops a value that belongs to the shared value or map of this name.
pub(crate) fn discard<V>(value: V, shared: &str, reports: &Reports) {
    if let Err(panic) = caught(|| drop(value)) {
        reports.failure(Failure::DropPanicked {
            shared: shared.to_owned(),
            panic,
        });
    }
}

impl<V> Deref for ContainedDrop<V> {
    type Target = V;

    fn deref(&self) -> &V {
        self.value
            .as_ref()
            .expect("the value is there until it is dropped")
    }
}

impl<V> DerefMut for ContainedDrop<V> {
    fn deref_mut(&mut self) -> &mut V {
        self.value
            .as_mut()
            .expect("the value is there until it is dropped")
    }
}

impl<V: Clone> Clone for ContainedDrop<V> {
    fn clone(&self) -> Self {
        Self::new(V::clone(self), &self.shared, &self.reports)
    }
}

impl<V> Drop for ContainedDrop<V> {
    fn drop(&mut self) {
        discard(self.value.take(), &self.shared, &self.reports);
    }
}

/// A value without a bus.
#[cfg(test)]
pub(crate) fn contained<T>(value: T) -> ContainedDrop<Arc<T>> {
    use crate::observe::health::Counts;
    let reports = Arc::new(Reports::new(Arc::new(Counts::new())));
    ContainedDrop::new(Arc::new(value), &"limit".into(), &reports)
}
