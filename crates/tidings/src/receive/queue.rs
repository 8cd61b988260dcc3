//! The bounded queue of a subscription, and what happens when it is full.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use crate::observe::metrics::Level;
use crate::receive::batch::Batch;
use crate::task::mutex::Mutex;

/// The policy for events that find a handler's queue full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The bus stops reading until there is room: a handler that is only overrun loses nothing, and
    /// senders are slowed down. The other handlers of the bus get no new events during that time,
    /// so the wait for handlers that take longer than 100 µs for an event is limited to 1 s at
    /// once and 10 s of each minute, as one budget for all handlers of the bus. After that, newer
    /// events are dropped for this handler until half of its queue is free.
    #[default]
    Block,
    /// Newer events are dropped for this handler.
    DropNewest,
    /// The events that waited longest are dropped to make room.
    DropOldest,
}

/// The capacity of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// The result of a push.
#[derive(Debug)]
pub(crate) enum Push {
    /// All of it was added, or the queue is closed and drops everything.
    Done,
    /// This much of it did not fit.
    NoRoom(Batch),
    /// Nothing was added: an earlier wait for room failed, and the queue is still over half full.
    Stuck(Batch),
}

#[derive(Debug)]
pub(crate) struct Queue {
    bounds: Bounds,
    state: Mutex<QueueState>,
    /// True once `end` is `Closed`: read before each event, without the lock.
    is_closed: AtomicBool,
    reader: AtomicWaker,
    room: Notify,
    level: Level,
}

#[derive(Debug, Default)]
struct QueueState {
    batches: VecDeque<Batch>,
    events: usize,
    bytes: usize,
    end: End,
    /// A wait for room failed: events are dropped without another wait until half is free.
    is_stuck: bool,
}

impl QueueState {
    fn put(&mut self, batch: Batch) {
        self.events += batch.events.len();
        self.bytes += batch.bytes();
        self.batches.push_back(batch);
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// Accepts no new events; those in the queue are still handled.
    Draining,
    /// Empty for good.
    Closed,
}

impl Queue {
    pub(crate) fn new(bounds: Bounds, level: Level) -> Self {
        Self {
            bounds,
            state: Mutex::default(),
            is_closed: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            room: Notify::new(),
            level,
        }
    }

    /// Adds as many events as fit and returns the rest.
    pub(crate) fn push(&self, mut batch: Batch) -> Push {
        let mut state = self.state.lock();
        if state.end != End::Open {
            return Push::Done;
        }
        if state.is_stuck {
            if state.events * 2 > self.bounds.events || state.bytes * 2 > self.bounds.bytes {
                return Push::Stuck(batch);
            }
            state.is_stuck = false;
        }
        // An empty queue takes a batch of any size, or a large event would never fit.
        if state.bytes > 0 && state.bytes + batch.bytes() > self.bounds.bytes {
            return Push::NoRoom(batch);
        }
        let room = self.bounds.events - state.events;
        if room == 0 {
            return Push::NoRoom(batch);
        }
        let rest = batch.split_off(room);
        state.put(batch);
        self.level.set(state.events);
        drop(state);
        self.reader.wake();
        rest.map_or(Push::Done, Push::NoRoom)
    }

    /// Adds a batch and drops the oldest events to make room. Returns the number of dropped events.
    pub(crate) fn push_dropping_oldest(&self, mut batch: Batch) -> u64 {
        // Dropped after the lock: their `Drop` is code of the application.
        let mut dropped = Vec::new();
        let mut state = self.state.lock();
        if state.end != End::Open {
            return 0;
        }
        dropped.extend(batch.drop_oldest(batch.events.len().saturating_sub(self.bounds.events)));
        while state.bytes > 0 && state.bytes + batch.bytes() > self.bounds.bytes {
            dropped.extend(self.pop(&mut state));
        }
        let mut excess = (state.events + batch.events.len()).saturating_sub(self.bounds.events);
        while let Some(oldest) = state.batches.front_mut().filter(|_| excess > 0) {
            if excess < oldest.events.len() {
                dropped.extend(oldest.drop_oldest(excess));
                state.events -= excess;
                break;
            }
            excess -= oldest.events.len();
            dropped.extend(self.pop(&mut state));
        }
        state.put(batch);
        self.level.set(state.events);
        drop(state);
        self.reader.wake();
        dropped.iter().map(|batch| batch.events.len() as u64).sum()
    }

    /// Waits until something was taken out. Check again afterwards: wake-ups can be late.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    /// Marks the queue as stuck, after a wait for room that failed.
    pub(crate) fn mark_stuck(&self) {
        self.state.lock().is_stuck = true;
    }

    /// Returns the next batch; `None` once the queue is closed, or drained and empty.
    pub(crate) async fn next(&self) -> Option<Batch> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Batch>> {
        if let Poll::Ready(batch) = self.take() {
            return Poll::Ready(batch);
        }
        self.reader.register(cx.waker());
        // A batch may have been pushed before the waker was registered.
        self.take()
    }

    fn take(&self) -> Poll<Option<Batch>> {
        let mut state = self.state.lock();
        match self.pop(&mut state) {
            Some(batch) => Poll::Ready(Some(batch)),
            None if state.end == End::Open => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn pop(&self, state: &mut QueueState) -> Option<Batch> {
        let batch = state.batches.pop_front()?;
        state.events -= batch.events.len();
        state.bytes -= batch.bytes();
        self.level.set(state.events);
        self.room.notify_one();
        Some(batch)
    }

    /// Accepts no new events; those in the queue can still be taken.
    pub(crate) fn drain(&self) {
        let mut state = self.state.lock();
        if state.end == End::Open {
            state.end = End::Draining;
        }
        drop(state);
        self.wake_all();
    }

    /// Empties the queue for good, and returns the number of dropped events.
    pub(crate) fn close(&self) -> u64 {
        let mut state = self.state.lock();
        state.end = End::Closed;
        self.is_closed.store(true, Ordering::Release);
        let events = std::mem::take(&mut state.events) as u64;
        state.bytes = 0;
        self.level.set(0);
        let batches = std::mem::take(&mut state.batches);
        drop(state);
        // After the lock: their `Drop` is code of the application.
        drop(batches);
        self.wake_all();
        events
    }

    /// The number of events in the queue.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().events
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    fn wake_all(&self) {
        self.reader.wake();
        self.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(events: usize) -> Queue {
        let bounds = Bounds {
            events,
            bytes: 1_000,
        };
        Queue::new(bounds, Level::of_nothing())
    }

    fn fits(push: &Push) -> bool {
        matches!(push, Push::Done)
    }

    fn numbers(queue: &Queue) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Poll::Ready(Some(batch)) = queue.take() {
            numbers.extend(batch.events.iter().map(|event| event.number));
        }
        numbers
    }

    #[test]
    fn a_push_returns_the_events_that_do_not_fit() {
        let queue = queue(3);
        assert!(fits(&queue.push(Batch::for_test(1..=2, 10))));
        let Push::NoRoom(rest) = queue.push(Batch::for_test(3..=5, 10)) else {
            panic!("it fitted")
        };
        assert_eq!(rest.events.len(), 2);
        assert_eq!(numbers(&queue), [1, 2, 3]);
    }

    #[test]
    fn the_bytes_are_bounded_but_one_batch_always_fits() {
        let queue = queue(100);
        assert!(fits(&queue.push(Batch::for_test(1..=1, 5_000))));
        assert!(!fits(&queue.push(Batch::for_test(2..=2, 1))));
    }

    #[test]
    fn no_more_of_the_oldest_events_are_dropped_than_needed() {
        let queue = queue(3);
        queue.push(Batch::for_test(1..=3, 1));
        assert_eq!(queue.push_dropping_oldest(Batch::for_test(4..=4, 1)), 1);
        assert_eq!(numbers(&queue), [2, 3, 4]);
    }

    #[test]
    fn dropped_oldest_events_are_counted() {
        let queue = queue(3);
        queue.push(Batch::for_test(1..=1, 1));
        queue.push(Batch::for_test(2..=3, 1));
        assert_eq!(queue.push_dropping_oldest(Batch::for_test(4..=5, 1)), 2);
        assert_eq!(numbers(&queue), [3, 4, 5]);
    }

    #[test]
    fn a_stuck_queue_takes_nothing_until_half_is_free() {
        let queue = queue(4);
        (1..=4).for_each(|number| assert!(fits(&queue.push(Batch::for_test(number..=number, 1)))));
        queue.mark_stuck();
        queue.pop(&mut queue.state.lock());
        assert!(matches!(
            queue.push(Batch::for_test(5..=5, 1)),
            Push::Stuck(_)
        ));
        queue.pop(&mut queue.state.lock());
        assert!(fits(&queue.push(Batch::for_test(6..=6, 1))));
        assert_eq!(numbers(&queue), [3, 4, 6]);
    }

    #[test]
    fn a_stuck_queue_that_has_room_again_is_no_longer_stuck() {
        let queue = queue(4);
        queue.push(Batch::for_test(1..=4, 1));
        queue.mark_stuck();
        assert_eq!(numbers(&queue), [1, 2, 3, 4]);

        assert!(fits(&queue.push(Batch::for_test(5..=8, 1))));

        let push = queue.push(Batch::for_test(9..=9, 1));
        assert!(matches!(push, Push::NoRoom(_)), "{push:?}");
    }

    #[test]
    fn a_stuck_queue_needs_half_of_its_bytes_free_as_well() {
        let queue = queue(100);
        queue.push(Batch::for_test(1..=1, 600));
        queue.mark_stuck();
        assert!(matches!(
            queue.push(Batch::for_test(2..=2, 1)),
            Push::Stuck(_)
        ));
        queue.pop(&mut queue.state.lock());
        queue.push(Batch::for_test(3..=3, 500));
        queue.mark_stuck();
        assert!(fits(&queue.push(Batch::for_test(4..=4, 1))));
    }

    #[test]
    fn a_draining_queue_ends_after_its_last_event() {
        let queue = queue(4);
        queue.push(Batch::for_test(1..=2, 1));
        queue.drain();
        assert!(fits(&queue.push(Batch::for_test(3..=3, 1))));
        assert_eq!(numbers(&queue), [1, 2]);
        assert!(matches!(queue.take(), Poll::Ready(None)));
    }

    #[test]
    fn closing_a_queue_counts_the_dropped_events() {
        let queue = queue(4);
        queue.push(Batch::for_test(1..=2, 1));
        assert_eq!(queue.close(), 2);
        assert!(matches!(queue.take(), Poll::Ready(None)));
    }
}
