//! Taps: bounded queues of everything that is received, for observers. They never hold up the
//! receiver: what does not fit is counted where it is missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use tidings_codec::{EventError, FrameError, Header, NodeId, RawEvent};

use crate::error::gap::{Gap, GapReason};
use crate::event::position::{JournalPosition, Journaled};
use crate::task::mailbox::{Mailbox, MailboxState};
use crate::task::mutex::Mutex;

/// The number of gaps that wait for a reader. Further ones are merged.
const GAPS: usize = 1_024;

/// The taps of a bus.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    queues: Mutex<Vec<Arc<TapQueue>>>,
    /// The number of queues, readable without the lock for each frame.
    count: AtomicUsize,
}

/// A received frame, for all taps.
#[derive(Debug)]
pub(crate) struct TappedFrame {
    pub(crate) bytes: Bytes,
    pub(crate) received: SystemTime,
    /// The place of the frame in the journal, if it was read there.
    pub(crate) journaled: Option<Journaled>,
    pub(crate) contents: Contents,
}

/// The contents of a frame.
#[derive(Debug)]
pub(crate) enum Contents {
    Events(Header, Vec<Result<RawEvent, EventError>>),
    /// It is no frame.
    Unreadable(FrameError),
    /// It is an entry of the journal without a frame, at this position.
    Foreign(JournalPosition),
}

/// The queue of one tap.
#[derive(Debug)]
pub(crate) struct TapQueue {
    bounds: TapBounds,
    /// The reason of gaps of this queue.
    overflow: GapReason,
    entries: Mailbox<Entry>,
    /// The sizes of the entries that wait, changed under the lock of `entries`, or by its reader.
    items: AtomicUsize,
    bytes: AtomicUsize,
    gaps: AtomicUsize,
}

/// The capacity of a tap's queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TapBounds {
    pub(crate) items: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(crate) enum Entry {
    /// The first `items` of a frame.
    Frame {
        frame: Arc<TappedFrame>,
        items: usize,
    },
    Gap(Gap),
}

impl Taps {
    /// Returns true if there is a tap: nothing is to be made for them otherwise.
    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn add(&self, queue: Arc<TapQueue>) {
        self.change(|queues| queues.push(queue));
    }

    pub(crate) fn remove(&self, queue: &Arc<TapQueue>) {
        self.change(|queues| queues.retain(|known| !Arc::ptr_eq(known, queue)));
    }

    /// Shows a frame to all taps.
    #[cold]
    pub(crate) fn frame(&self, frame: TappedFrame) {
        let frame = Arc::new(frame);
        for queue in &*self.queues.lock() {
            queue.push_frame(&frame);
        }
    }

    /// Shows a gap in what was received to all taps.
    #[cold]
    pub(crate) fn gap(&self, gap: &Gap) {
        for queue in &*self.queues.lock() {
            queue.push_gap(gap);
        }
    }

    /// Ends all taps after what waits in them: nothing is received any more.
    pub(crate) fn close(&self) {
        self.change(|queues| queues.drain(..).for_each(|queue| queue.entries.close()));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<TapQueue>>)) {
        let mut queues = self.queues.lock();
        change(&mut queues);
        self.count.store(queues.len(), Ordering::Relaxed);
    }
}

impl TappedFrame {
    pub(crate) fn new(bytes: &Bytes, journaled: Option<Journaled>, contents: Contents) -> Self {
        Self {
            bytes: bytes.clone(),
            received: SystemTime::now(),
            journaled,
            contents,
        }
    }

    pub(crate) fn sender(&self) -> Option<NodeId> {
        match &self.contents {
            Contents::Events(header, _) => header.from,
            Contents::Unreadable(_) | Contents::Foreign(_) => None,
        }
    }

    /// The number of items that a tap returns for the frame.
    fn items(&self) -> usize {
        match &self.contents {
            Contents::Events(_, events) => events.len(),
            Contents::Unreadable(_) | Contents::Foreign(_) => 1,
        }
    }
}

impl TapQueue {
    pub(crate) fn new(bounds: TapBounds) -> Self {
        Self {
            bounds,
            overflow: GapReason::Overflow {
                handler: Arc::from("tap"),
            },
            entries: Mailbox::default(),
            items: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            gaps: AtomicUsize::new(0),
        }
    }

    /// Returns the next entry; `None` at the end.
    pub(crate) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Entry>> {
        let polled = self.entries.poll_next(cx);
        match &polled {
            Poll::Ready(Some(Entry::Frame { frame, items })) => {
                self.items.fetch_sub(*items, Ordering::Relaxed);
                self.bytes.fetch_sub(frame.bytes.len(), Ordering::Relaxed);
            }
            Poll::Ready(Some(Entry::Gap(_))) => {
                self.gaps.fetch_sub(1, Ordering::Relaxed);
            }
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    /// Drops what waits: the tap has ended.
    pub(crate) fn clear(&self) {
        drop(self.entries.take());
    }

    /// Adds as much of the frame as fits, and counts the rest.
    fn push_frame(&self, frame: &Arc<TappedFrame>) {
        let mut entries = self.entries.lock();
        if entries.is_closed {
            return;
        }
        let all = frame.items();
        let items = all.min(self.room(frame.bytes.len()));
        if items > 0 {
            self.items.fetch_add(items, Ordering::Relaxed);
            self.bytes.fetch_add(frame.bytes.len(), Ordering::Relaxed);
            let frame = Arc::clone(frame);
            entries.waiting.push_back(Entry::Frame { frame, items });
        }
        if items < all {
            self.add_gap(
                &mut entries,
                Gap {
                    sender: frame.sender(),
                    missed: Some((all - items) as u64),
                    reason: self.overflow.clone(),
                },
            );
        }
        drop(entries);
        self.entries.wake();
    }

    fn push_gap(&self, gap: &Gap) {
        let mut entries = self.entries.lock();
        if !entries.is_closed {
            self.add_gap(&mut entries, gap.clone());
        }
        drop(entries);
        self.entries.wake();
    }

    /// The number of items of a frame with these bytes that fit.
    fn room(&self, more: usize) -> usize {
        let bytes = self.bytes.load(Ordering::Relaxed);
        // An empty queue takes a frame of any size, or a large event would never fit.
        if bytes > 0 && bytes + more > self.bounds.bytes {
            return 0;
        }
        let items = self.items.load(Ordering::Relaxed);
        self.bounds.items.saturating_sub(items)
    }

    /// Adds a gap to an equal one that is the last entry, or after it. With too many gaps, it is merged
    /// with an earlier one: no count of this queue is lost by that.
    fn add_gap(&self, entries: &mut MailboxState<Entry>, gap: Gap) {
        if let Some(Entry::Gap(last)) = entries.waiting.back_mut()
            && add(last, &gap)
        {
            return;
        }
        let is_full = self.gaps.load(Ordering::Relaxed) >= GAPS;
        let is_overflow = |gap: &Gap| matches!(gap.reason, GapReason::Overflow { .. });
        let mut waiting = entries.waiting.iter_mut().rev().filter(|_| is_full);
        let alike = waiting.find_map(|entry| match entry {
            Entry::Gap(known) if is_overflow(known) == is_overflow(&gap) => Some(known),
            _ => None,
        });
        if let Some(known) = alike {
            if !add(known, &gap) {
                known.widen(&gap);
            }
        } else {
            self.gaps.fetch_add(1, Ordering::Relaxed);
            entries.waiting.push_back(Entry::Gap(gap));
        }
    }
}

/// Adds the count of an equal gap, or of an overflow of another sender.
fn add(sum: &mut Gap, more: &Gap) -> bool {
    let is_overflow = |gap: &Gap| matches!(gap.reason, GapReason::Overflow { .. });
    if is_overflow(sum) && is_overflow(more) {
        sum.sender = sum.sender.filter(|sender| Some(*sender) == more.sender);
        let more = Gap {
            sender: sum.sender,
            ..more.clone()
        };
        return sum.add(&more);
    }
    sum.add(more)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tidings_codec::Format;

    use super::*;

    const ONE: NodeId = NodeId::new(1);
    const OTHER: NodeId = NodeId::new(2);

    fn queue(items: usize) -> TapQueue {
        let bytes = 1_000;
        TapQueue::new(TapBounds { items, bytes })
    }

    /// A frame of this many events that cannot be read.
    fn frame(from: NodeId, events: usize, bytes: usize) -> Arc<TappedFrame> {
        let header = Header {
            format: Format::Json,
            from: Some(from),
            seq: Some(1),
        };
        let event = Err(EventError::MissingName { position: 0 });
        let contents = Contents::Events(header, vec![event; events]);
        Arc::new(TappedFrame::new(&vec![0; bytes].into(), None, contents))
    }

    fn missed(sender: u128, missed: u64) -> Gap {
        let sender = Some(NodeId::new(sender));
        Gap::for_tests(sender, Some(missed), GapReason::Missed)
    }

    /// The sender and the number of a gap.
    type Lost = (Option<NodeId>, Option<u64>);

    /// Takes all entries that wait: the numbers of items of frames, and gaps.
    fn waiting(queue: &TapQueue) -> Vec<Result<usize, Lost>> {
        let mut waiting = Vec::new();
        let cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(entry)) = queue.poll_next(&cx) {
            waiting.push(match entry {
                Entry::Frame { items, .. } => Ok(items),
                Entry::Gap(gap) => Err((gap.sender, gap.missed)),
            });
        }
        waiting
    }

    #[test]
    fn what_does_not_fit_is_counted_where_it_is_missing() {
        let queue = queue(4);
        queue.push_frame(&frame(ONE, 3, 10));
        queue.push_frame(&frame(ONE, 3, 10));
        queue.push_frame(&frame(ONE, 5, 10));
        queue.push_frame(&frame(OTHER, 1, 10));
        assert_eq!(waiting(&queue), [Ok(3), Ok(1), Err((None, Some(8)))]);

        queue.push_frame(&frame(OTHER, 5, 10));
        let rest = Err((Some(OTHER), Some(1)));
        assert_eq!(waiting(&queue), [Ok(4), rest]);
    }

    #[test]
    fn the_bytes_are_bounded_but_one_frame_always_fits() {
        let queue = queue(100);
        queue.push_frame(&frame(ONE, 1, 5_000));
        queue.push_frame(&frame(ONE, 1, 1));
        assert_eq!(waiting(&queue), [Ok(1), Err((Some(ONE), Some(1)))]);
    }

    #[test]
    fn a_gap_stays_where_it_happened() {
        let queue = queue(2);
        queue.push_frame(&frame(ONE, 1, 1));
        queue.push_gap(&missed(1, 2));
        queue.push_gap(&missed(1, 3));
        queue.push_frame(&frame(ONE, 3, 1));
        queue.push_gap(&missed(2, 4));
        let gap = |sender, missed| Err((Some(sender), Some(missed)));
        let expected = [Ok(1), gap(ONE, 5), Ok(1), gap(ONE, 2), gap(OTHER, 4)];
        assert_eq!(waiting(&queue), expected);
    }

    #[test]
    fn no_dropped_item_is_uncounted_with_more_gaps_than_fit() {
        let queue = queue(1);
        let times = 3 * GAPS as u64;
        for sender in 0..times {
            queue.push_frame(&frame(ONE, 2, 1));
            queue.push_gap(&missed(sender.into(), 1));
        }
        let mut entries = 0;
        let mut dropped = 0;
        let cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(entry)) = queue.poll_next(&cx) {
            entries += 1;
            if let Entry::Gap(gap) = entry
                && gap.reason == queue.overflow
            {
                dropped += gap.missed.unwrap();
            }
        }
        assert_eq!(dropped, 2 * times - 1);
        assert!(entries <= GAPS + 3, "{entries}");
    }

    #[test]
    fn a_tap_ends_after_what_waits() {
        let taps = Taps::default();
        let tap = Arc::new(queue(2));
        taps.add(Arc::clone(&tap));
        taps.gap(&missed(1, 1));
        taps.close();
        assert!(!taps.is_any());
        let cx = Context::from_waker(Waker::noop());
        assert!(matches!(tap.poll_next(&cx), Poll::Ready(Some(_))));
        assert!(matches!(tap.poll_next(&cx), Poll::Ready(None)));
    }
}
