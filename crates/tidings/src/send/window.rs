//! The send window: own frames that were sent and whose echo was not received yet.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::task::mutex::Mutex;

/// The maximum number of bytes without an echo, if there is no lower one.
const WINDOW: usize = 4 << 20;

/// The time after which an echo is not awaited any more.
pub(crate) const ECHO_TIMEOUT: Duration = Duration::from_secs(1);

/// The number of first bytes that are compared: they contain the sender and the numbers.
const HEAD: usize = 96;

/// The number of bytes that distinguish senders.
const SENDER: usize = 20;

/// The maximum number of ranges of numbers that may still arrive; more are merged.
const LATE_RANGES: usize = 8;

/// The highest number up to which own numbers follow forged ones. Beyond it, own events are
/// received as those of a restarted sender.
const CLAIMED: u64 = 1 << 48;

/// The frames that were sent and not received yet.
#[derive(Debug)]
pub(crate) struct SendWindow {
    /// The maximum number of bytes without an echo.
    limit: usize,
    state: Mutex<WindowState>,
    received: Notify,
    /// Notified when the window is empty.
    all_received: Notify,
    /// Notified when a task begins to wait for an echo.
    pub(crate) is_wanted: Notify,
    /// The end of the highest forged numbers under this node's id.
    claimed: AtomicU64,
}

#[derive(Debug, Default)]
struct WindowState {
    /// One more than the highest number given out.
    numbered: u64,
    /// The numbers of frames that are not awaited any more and may still arrive.
    late: VecDeque<Range<u64>>,
    frames: VecDeque<Sent>,
    bytes: usize,
    /// The number of received echoes.
    count: u64,
    /// True while the events of an echo are put into queues.
    is_handing_over: bool,
    /// The number of tasks that wait until all is received.
    waiting: usize,
    /// True when the receive task has ended, so that no echo will arrive.
    is_disconnected: bool,
}

/// A sent frame: its numbers, and what its echo is recognized by.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) first: u64,
    pub(crate) events: u32,
    bytes: usize,
    head: [u8; HEAD],
}

impl Sent {
    pub(crate) fn new(first: u64, events: u32, frame: &[u8]) -> Self {
        Self {
            first,
            events,
            bytes: frame.len(),
            head: head(frame),
        }
    }

    fn end(&self) -> u64 {
        self.first + u64::from(self.events)
    }
}

impl Default for SendWindow {
    fn default() -> Self {
        Self::up_to(WINDOW)
    }
}

impl SendWindow {
    /// A window of this many bytes, or of the usual size if that is less.
    pub(crate) fn up_to(bytes: usize) -> Self {
        Self {
            limit: bytes.min(WINDOW),
            state: Mutex::default(),
            received: Notify::default(),
            all_received: Notify::default(),
            is_wanted: Notify::default(),
            claimed: AtomicU64::default(),
        }
    }

    pub(crate) fn sent(&self, sent: Sent) {
        let mut state = self.state.lock();
        state.numbered = state.numbered.max(sent.end());
        if state.is_disconnected {
            return;
        }
        state.bytes += sent.bytes;
        state.frames.push_back(sent);
    }

    /// Removes the frames with numbers from this one on: they were not published, and their numbers are
    /// given to other frames.
    pub(crate) fn take_back(&self, first: u64) {
        let mut lock = self.state.lock();
        let state = &mut *lock;
        while let Some(last) = state.frames.pop_back_if(|sent| sent.first >= first) {
            state.bytes -= last.bytes;
        }
        let is_all = state.are_all_received();
        drop(lock);
        self.received.notify_one();
        if is_all {
            self.all_received.notify_waiters();
        }
    }

    /// Removes an own frame, with those sent before it, which will not arrive any more. Returns
    /// `None` for other frames.
    pub(crate) fn receive(&self, frame: &[u8]) -> Option<Sent> {
        let mut state = self.state.lock();
        let (ours, head) = (state.frames.front()?, head(frame));
        if ours.head[..SENDER] != head[..SENDER] {
            return None;
        }
        let is_echoed = |sent: &Sent| sent.bytes == frame.len() && sent.head == head;
        let position = state.frames.iter().position(is_echoed)?;
        state.count += 1;
        state.is_handing_over = true;
        state.give_up(position);
        let mut received = None;
        for _ in 0..=position {
            received = state.frames.pop_front();
            state.bytes -= received.as_ref().map_or(0, |sent| sent.bytes);
        }
        drop(state);
        self.received.notify_one();
        received
    }

    /// Returns true if a frame under this node's id, which is not in the window, is forged by its
    /// numbers.
    pub(crate) fn is_forged(&self, first: u64, events: u32) -> bool {
        let state = self.state.lock();
        let end = first.saturating_add(u64::from(events));
        let is_late = |numbers: &Range<u64>| numbers.start <= first && end <= numbers.end;
        // The numbers were never used, or are those of another frame.
        end > state.numbered.max(1) || events > 0 && !state.late.iter().any(is_late)
    }

    /// Records forged numbers up to `end`.
    pub(crate) fn claim(&self, end: u64) {
        if end <= CLAIMED {
            self.claimed.fetch_max(end, Ordering::Relaxed);
        }
    }

    /// Returns the number of the next event: `next`, or a higher one after forged numbers, because
    /// subscribers would take a lower one for a restart.
    pub(crate) fn next_number(&self, next: u64) -> u64 {
        let claimed = self.claimed.load(Ordering::Relaxed);
        if claimed <= next {
            return next;
        }
        let mut state = self.state.lock();
        state.numbered = state.numbered.max(claimed);
        claimed
    }

    /// The events of the last echo are in the queues.
    pub(crate) fn handed_over(&self) {
        let mut state = self.state.lock();
        state.is_handing_over = false;
        let is_all = state.are_all_received();
        drop(state);
        if is_all {
            self.all_received.notify_waiters();
        }
    }

    /// Waits until all sent frames are in the queues of handlers, or until no echo has arrived for
    /// [`ECHO_TIMEOUT`].
    pub(crate) async fn caught_up(&self) {
        let _waiting = Waiting::begin(self);
        loop {
            let all_received = self.all_received.notified();
            tokio::pin!(all_received);
            all_received.as_mut().enable();
            let count = {
                let state = self.state.lock();
                if state.are_all_received() {
                    return;
                }
                state.count
            };
            if timeout(ECHO_TIMEOUT, all_received).await.is_err()
                && self.state.lock().count == count
            {
                return;
            }
        }
    }

    /// Returns true if the window is full.
    pub(crate) fn is_far_ahead(&self) -> bool {
        let is_far_ahead = self.state.lock().bytes > self.limit;
        if is_far_ahead {
            self.is_wanted.notify_one();
        }
        is_far_ahead
    }

    /// Returns true if a task waits for an echo.
    pub(crate) fn is_awaited(&self) -> bool {
        let state = self.state.lock();
        state.waiting > 0 || state.bytes > self.limit
    }

    /// Waits for the next echo.
    pub(crate) async fn received(&self) {
        self.received.notified().await;
    }

    /// Empties the window: the connection is new, or an echo does not arrive.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock();
        let all = state.frames.len();
        state.give_up(all);
        state.frames.clear();
        state.bytes = 0;
        drop(state);
        self.received.notify_one();
        self.all_received.notify_waiters();
    }

    /// Closes the window: the receive task has ended.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        state.is_disconnected = true;
        // It may have ended while it handed an echo over.
        state.is_handing_over = false;
        drop(state);
        self.forget();
    }
}

/// A task that waits until all is received.
struct Waiting<'a>(&'a SendWindow);

impl<'a> Waiting<'a> {
    fn begin(window: &'a SendWindow) -> Self {
        window.state.lock().waiting += 1;
        window.is_wanted.notify_one();
        Self(window)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state.lock().waiting -= 1;
    }
}

impl WindowState {
    /// Moves the numbers of the oldest `frames` to the late ones.
    fn give_up(&mut self, frames: usize) {
        let (Some(first), Some(last)) = (self.frames.front(), frames.checked_sub(1)) else {
            return;
        };
        let Some(end) = self.frames.get(last).map(Sent::end) else {
            return;
        };
        let numbers = first.first..end;
        match self.late.back_mut() {
            Some(before) if before.end >= numbers.start => {
                *before = before.start.min(numbers.start)..before.end.max(end);
            }
            _ => self.late.push_back(numbers),
        }
        if self.late.len() > LATE_RANGES
            && let (Some(oldest), Some(next)) = (self.late.pop_front(), self.late.front_mut())
        {
            *next = oldest.start.min(next.start)..next.end;
        }
    }

    fn are_all_received(&self) -> bool {
        self.frames.is_empty() && !self.is_handing_over
    }
}

/// The first bytes of a frame, followed by zeros if it is shorter.
fn head(frame: &[u8]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let len = frame.len().min(HEAD);
    head[..len].copy_from_slice(&frame[..len]);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u64, bytes: usize) -> Vec<u8> {
        let mut frame = vec![0; bytes];
        frame[SENDER..SENDER + 8].copy_from_slice(&first.to_be_bytes());
        frame
    }

    fn sent(first: u64, bytes: usize) -> Sent {
        Sent::new(first, 1, &frame(first, bytes))
    }

    #[test]
    fn an_echo_returns_its_numbers_and_frees_its_bytes() {
        let window = SendWindow::default();
        window.sent(sent(1, WINDOW));
        window.sent(sent(2, 30));
        assert!(window.is_far_ahead());
        let received = window.receive(&frame(1, WINDOW)).unwrap();
        assert_eq!((received.first, received.events), (1, 1));
        assert!(!window.is_far_ahead());
    }

    #[test]
    fn a_window_can_be_smaller_and_not_larger_than_usual() {
        for (bytes, limit) in [(WINDOW / 2, WINDOW / 2), (2 * WINDOW, WINDOW)] {
            let window = SendWindow::up_to(bytes);
            window.sent(sent(1, limit));
            assert!(!window.is_far_ahead());
            window.sent(sent(2, 30));
            assert!(window.is_far_ahead());
        }
    }

    #[test]
    fn a_later_echo_removes_the_earlier_frames() {
        let window = SendWindow::default();
        (1..=3).for_each(|first| window.sent(sent(first, WINDOW)));
        assert_eq!(window.receive(&frame(3, WINDOW)).unwrap().first, 3);
        assert!(!window.is_far_ahead());
    }

    #[test]
    fn a_frame_that_was_not_published_gives_its_numbers_to_another_one() {
        let window = SendWindow::default();
        (1..=3).for_each(|first| window.sent(sent(first, WINDOW)));
        window.take_back(2);
        window.sent(sent(2, 30));
        assert_eq!(window.receive(&frame(1, WINDOW)).unwrap().first, 1);
        assert!(!window.is_far_ahead());
        assert_eq!(window.receive(&frame(2, 30)).unwrap().bytes, 30);
    }

    #[test]
    fn a_frame_that_was_not_sent_is_not_an_echo() {
        let window = SendWindow::default();
        window.sent(sent(1, 30));
        assert!(window.receive(&frame(2, 30)).is_none());
        assert!(window.receive(&frame(1, 31)).is_none());
    }
}
