//! A sender's own frames on their way through Redis and back: how far the channel is behind.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::timeout;

/// How many bytes a sender may be ahead of its own echo.
const WINDOW: usize = 4 << 20;

/// How long the echo may take before it is not waited for any more.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// How much of a frame is compared: its sender and its numbers are within this.
const HEAD: usize = 96;

/// How much of a frame tells one sender from another.
const SENDER: usize = 20;

/// How many ranges of numbers are remembered that may still come; more are taken together.
const UNHEARD: usize = 8;

/// Up to which number ours follow those that others use in our name. Beyond it our events are
/// delivered as those of a sender that began again.
const CLAIMED: u64 = 1 << 48;

/// What was sent and not yet heard.
#[derive(Debug, Default)]
pub(crate) struct SendWindow {
    inside: Mutex<WindowState>,
    received: Notify,
    /// Nothing is on its way any more.
    all_received: Notify,
    /// Somebody has begun to wait for an echo.
    pub(crate) is_wanted: Notify,
    /// The end of the highest numbers that others used in this sender's name.
    claimed: AtomicU64,
}

#[derive(Debug, Default)]
struct WindowState {
    /// One more than the highest number given out.
    numbered: u64,
    /// The numbers of frames that were sent and are not waited for any more: they may still come.
    unannounced: VecDeque<Range<u64>>,
    frames: VecDeque<Sent>,
    bytes: usize,
    /// How many frames came back.
    count: u64,
    /// One came back, and its handlers do not have it yet.
    is_handing_over: bool,
    /// How many wait until all is heard.
    waiting: usize,
    /// Nobody listens any more, so no echo will come.
    is_disconnected: bool,
}

/// A frame of our own.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) first: u64,
    pub(crate) events: u32,
    pub(crate) frame: Bytes,
}

impl Sent {
    fn end(&self) -> u64 {
        self.first + u64::from(self.events)
    }
}

impl SendWindow {
    pub(crate) fn sent(&self, sent: Sent) {
        let mut inside = self.lock();
        inside.numbered = inside.numbered.max(sent.end());
        if inside.is_disconnected {
            return;
        }
        inside.bytes += sent.frame.len();
        inside.frames.push_back(sent);
    }

    /// Whether this is one of our own frames. Those sent before it will not be heard any more.
    pub(crate) fn receive(&self, frame: &Bytes) -> Option<Sent> {
        let mut inside = self.lock();
        let ours = inside.frames.front()?;
        if ours.frame.get(..SENDER) != frame.get(..SENDER) {
            return None;
        }
        let position = inside
            .frames
            .iter()
            .position(|sent| is_same(&sent.frame, frame))?;
        inside.count += 1;
        inside.is_handing_over = true;
        inside.give_up(position);
        let mut received = None;
        for _ in 0..=position {
            received = inside.frames.pop_front();
            inside.bytes -= received.as_ref().map_or(0, |sent| sent.frame.len());
        }
        drop(inside);
        self.received.notify_one();
        received
    }

    /// Whether a frame in our name with these numbers, which is none of those that are waited for,
    /// cannot be ours.
    pub(crate) fn is_forged(&self, first: u64, events: u32) -> bool {
        let inside = self.lock();
        let end = first.saturating_add(u64::from(events));
        let is_unannounced = |numbers: &Range<u64>| numbers.start <= first && end <= numbers.end;
        // We never gave out such numbers, or gave them to a frame that we know.
        end > inside.numbered.max(1) || events > 0 && !inside.unannounced.iter().any(is_unannounced)
    }

    /// Another used numbers up to this one in our name.
    pub(crate) fn claim(&self, end: u64) {
        if end <= CLAIMED {
            self.claimed.fetch_max(end, Ordering::Relaxed);
        }
    }

    /// The number that our next event gets, where this one was next so far: subscribers take a lower
    /// one than those that others used for one that went back.
    pub(crate) fn next_number(&self, next: u64) -> u64 {
        let claimed = self.claimed.load(Ordering::Relaxed);
        if claimed <= next {
            return next;
        }
        let mut inside = self.lock();
        inside.numbered = inside.numbered.max(claimed);
        claimed
    }

    /// The frame that was heard is with its handlers.
    pub(crate) fn handed_over(&self) {
        let mut inside = self.lock();
        inside.is_handing_over = false;
        let is_all = inside.are_all_received();
        drop(inside);
        if is_all {
            self.all_received.notify_waiters();
        }
    }

    /// Waits until all that was sent so far is with its handlers, or until nothing of it has come
    /// back for a second.
    pub(crate) async fn caught_up(&self) {
        let _waiting = Waiting::begin(self);
        loop {
            let all_received = self.all_received.notified();
            tokio::pin!(all_received);
            all_received.as_mut().enable();
            let count = {
                let inside = self.lock();
                if inside.are_all_received() {
                    return;
                }
                inside.count
            };
            if timeout(PATIENCE, all_received).await.is_err() && self.lock().count == count {
                return;
            }
        }
    }

    /// Whether the sender is as far ahead as it may be.
    pub(crate) fn is_far_ahead(&self) -> bool {
        let is_far_ahead = self.lock().bytes > WINDOW;
        if is_far_ahead {
            self.is_wanted.notify_one();
        }
        is_far_ahead
    }

    /// Whether somebody waits for an echo.
    pub(crate) fn is_awaited(&self) -> bool {
        let inside = self.lock();
        inside.waiting > 0 || inside.bytes > WINDOW
    }

    /// Waits until something was heard.
    pub(crate) async fn received(&self) {
        self.received.notified().await;
    }

    /// Waits for nothing any more: a new connection, or an echo that does not come.
    pub(crate) fn forget(&self) {
        let mut inside = self.lock();
        let all = inside.frames.len();
        inside.give_up(all);
        inside.frames.clear();
        inside.bytes = 0;
        drop(inside);
        self.received.notify_one();
        self.all_received.notify_waiters();
    }

    /// Nothing is heard from now on, and nothing is waited for.
    pub(crate) fn stop(&self) {
        self.lock().is_disconnected = true;
        self.forget();
    }

    fn lock(&self) -> MutexGuard<'_, WindowState> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits until all is heard.
struct Waiting<'a>(&'a SendWindow);

impl<'a> Waiting<'a> {
    fn begin(window: &'a SendWindow) -> Self {
        window.lock().waiting += 1;
        window.is_wanted.notify_one();
        Self(window)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

impl WindowState {
    /// So many of the frames are not waited for any more.
    fn give_up(&mut self, frames: usize) {
        let (Some(first), Some(last)) = (self.frames.front(), frames.checked_sub(1)) else {
            return;
        };
        let Some(end) = self.frames.get(last).map(Sent::end) else {
            return;
        };
        let numbers = first.first..end;
        match self.unannounced.back_mut() {
            Some(before) if before.end >= numbers.start => {
                *before = before.start.min(numbers.start)..before.end.max(end);
            }
            _ => self.unannounced.push_back(numbers),
        }
        if self.unannounced.len() > UNHEARD
            && let (Some(oldest), Some(next)) =
                (self.unannounced.pop_front(), self.unannounced.front_mut())
        {
            *next = oldest.start.min(next.start)..next.end;
        }
    }

    fn are_all_received(&self) -> bool {
        self.frames.is_empty() && !self.is_handing_over
    }
}

fn is_same(sent: &[u8], received: &[u8]) -> bool {
    let head = sent.len().min(HEAD);
    sent.len() == received.len() && sent[..head] == received[..head]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(first: u64, bytes: usize) -> Sent {
        let mut frame = vec![0; bytes];
        frame[SENDER..SENDER + 8].copy_from_slice(&first.to_be_bytes());
        Sent {
            first,
            events: 1,
            frame: frame.into(),
        }
    }

    #[test]
    fn an_echo_gives_its_numbers_and_its_bytes_back() {
        let window = SendWindow::default();
        window.sent(sent(1, WINDOW));
        window.sent(sent(2, 30));
        assert!(window.is_far_ahead());
        let received = window.receive(&sent(1, WINDOW).frame).unwrap();
        assert_eq!((received.first, received.events), (1, 1));
        assert!(!window.is_far_ahead());
    }

    #[test]
    fn a_later_echo_settles_the_earlier_ones() {
        let window = SendWindow::default();
        (1..=3).for_each(|first| window.sent(sent(first, WINDOW)));
        assert_eq!(window.receive(&sent(3, WINDOW).frame).unwrap().first, 3);
        assert!(!window.is_far_ahead());
    }

    #[test]
    fn a_strangers_frame_is_not_ours() {
        let window = SendWindow::default();
        window.sent(sent(1, 30));
        assert!(window.receive(&sent(2, 30).frame).is_none());
        assert!(window.receive(&sent(1, 31).frame).is_none());
    }
}
