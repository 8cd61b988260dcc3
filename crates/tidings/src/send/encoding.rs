//! Detects a payload that sends while it is encoded, which would wait for its own lock.

use std::cell::{Cell, RefCell};
use std::ptr;

thread_local! {
    /// The address of the queue into which this thread encodes an event; 0 without one.
    static QUEUE: Cell<usize> = const { Cell::new(0) };
    /// The queues of the events that contain this one: its payload sends over another bus.
    static OUTER: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
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
        let outer = QUEUE.get();
        if outer != 0 && !Self::nest(queue, outer) {
            return None;
        }
        QUEUE.set(queue);
        Some(Self { outer })
    }

    /// Returns false if this thread already encodes an event of this queue.
    #[cold]
    fn nest(queue: usize, outer: usize) -> bool {
        OUTER.with_borrow_mut(|others| {
            let is_other = queue != outer && !others.contains(&queue);
            if is_other {
                others.push(outer);
            }
            is_other
        })
    }
}

impl Drop for Encoding {
    #[inline]
    fn drop(&mut self) {
        QUEUE.set(self.outer);
        if self.outer != 0 {
            OUTER.with_borrow_mut(Vec::pop);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_takes_no_event_while_one_of_its_own_is_encoded() {
        let (one, other) = (1_u8, 2_u8);
        let outer = Encoding::begin(&one);
        assert!(outer.is_some() && Encoding::begin(&one).is_none());
        let inner = Encoding::begin(&other);
        assert!(inner.is_some());
        // The payload of the other queue's event sends over the first one.
        for queue in [&one, &other] {
            assert!(Encoding::begin(queue).is_none());
        }
        drop(inner);
        assert!(Encoding::begin(&one).is_none());
        drop(outer);
        assert!(Encoding::begin(&one).is_some() && Encoding::begin(&other).is_some());
    }
}
