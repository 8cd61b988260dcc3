//! Detects a payload that sends while it is encoded, which would wait for its own lock.

use std::cell::Cell;
use std::ptr;

thread_local! {
    /// The address of the queue into which this thread encodes an event; 0 without one.
    static QUEUE: Cell<usize> = const { Cell::new(0) };
}

/// This thread encodes an event.
pub(crate) struct Encoding {
    /// The queue of the event that contains this one.
    outer: usize,
}

impl Encoding {
    /// Returns `None` if this thread already encodes an event of this queue.
    #[inline]
    pub(crate) fn begin<Q>(queue: &Q) -> Option<Self> {
        let queue = ptr::from_ref(queue).addr();
        let outer = QUEUE.replace(queue);
        (outer != queue).then_some(Self { outer })
    }
}

impl Drop for Encoding {
    #[inline]
    fn drop(&mut self) {
        QUEUE.set(self.outer);
    }
}
