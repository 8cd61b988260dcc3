//! A sender's own frames on their way through Redis and back: how far the channel is behind.

use std::collections::VecDeque;
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

/// What was sent and not yet heard.
#[derive(Debug, Default)]
pub(crate) struct Echoes {
    inside: Mutex<Inside>,
    heard: Notify,
    /// Nothing is on its way any more.
    all_heard: Notify,
    /// Somebody has begun to wait for an echo.
    pub(crate) is_wanted: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    frames: VecDeque<Sent>,
    bytes: usize,
    /// How many frames came back.
    count: u64,
    /// One came back, and its handlers do not have it yet.
    is_handing_over: bool,
    /// How many wait until all is heard.
    waiting: usize,
    /// Nobody listens any more, so no echo will come.
    is_deaf: bool,
}

/// A frame of our own.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) first: u64,
    pub(crate) events: u32,
    pub(crate) frame: Bytes,
}

impl Echoes {
    pub(crate) fn sent(&self, sent: Sent) {
        let mut inside = self.lock();
        if inside.is_deaf {
            return;
        }
        inside.bytes += sent.frame.len();
        inside.frames.push_back(sent);
    }

    /// Whether this is one of our own frames. Those sent before it will not be heard any more.
    pub(crate) fn hear(&self, frame: &Bytes) -> Option<Sent> {
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
        let mut heard = None;
        for _ in 0..=position {
            heard = inside.frames.pop_front();
            inside.bytes -= heard.as_ref().map_or(0, |sent| sent.frame.len());
        }
        drop(inside);
        self.heard.notify_one();
        heard
    }

    /// The frame that was heard is with its handlers.
    pub(crate) fn handed_over(&self) {
        let mut inside = self.lock();
        inside.is_handing_over = false;
        let is_all = inside.is_all_heard();
        drop(inside);
        if is_all {
            self.all_heard.notify_waiters();
        }
    }

    /// Waits until all that was sent so far is with its handlers, or until nothing of it has come
    /// back for a second.
    pub(crate) async fn caught_up(&self) {
        let _waiting = Waiting::begin(self);
        loop {
            let all_heard = self.all_heard.notified();
            tokio::pin!(all_heard);
            all_heard.as_mut().enable();
            let count = {
                let inside = self.lock();
                if inside.is_all_heard() {
                    return;
                }
                inside.count
            };
            if timeout(PATIENCE, all_heard).await.is_err() && self.lock().count == count {
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
    pub(crate) async fn heard(&self) {
        self.heard.notified().await;
    }

    /// Waits for nothing any more: a new connection, or an echo that does not come.
    pub(crate) fn forget(&self) {
        let mut inside = self.lock();
        inside.frames.clear();
        inside.bytes = 0;
        drop(inside);
        self.heard.notify_one();
        self.all_heard.notify_waiters();
    }

    /// Nothing is heard from now on, and nothing is waited for.
    pub(crate) fn stop(&self) {
        self.lock().is_deaf = true;
        self.forget();
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits until all is heard.
struct Waiting<'a>(&'a Echoes);

impl<'a> Waiting<'a> {
    fn begin(echoes: &'a Echoes) -> Self {
        echoes.lock().waiting += 1;
        echoes.is_wanted.notify_one();
        Self(echoes)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

impl Inside {
    fn is_all_heard(&self) -> bool {
        self.frames.is_empty() && !self.is_handing_over
    }
}

fn is_same(sent: &[u8], heard: &[u8]) -> bool {
    let head = sent.len().min(HEAD);
    sent.len() == heard.len() && sent[..head] == heard[..head]
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
        let echoes = Echoes::default();
        echoes.sent(sent(1, WINDOW));
        echoes.sent(sent(2, 30));
        assert!(echoes.is_far_ahead());
        let heard = echoes.hear(&sent(1, WINDOW).frame).unwrap();
        assert_eq!((heard.first, heard.events), (1, 1));
        assert!(!echoes.is_far_ahead());
    }

    #[test]
    fn a_later_echo_settles_the_earlier_ones() {
        let echoes = Echoes::default();
        (1..=3).for_each(|first| echoes.sent(sent(first, WINDOW)));
        assert_eq!(echoes.hear(&sent(3, WINDOW).frame).unwrap().first, 3);
        assert!(!echoes.is_far_ahead());
    }

    #[test]
    fn a_strangers_frame_is_not_ours() {
        let echoes = Echoes::default();
        echoes.sent(sent(1, 30));
        assert!(echoes.hear(&sent(2, 30).frame).is_none());
        assert!(echoes.hear(&sent(1, 31).frame).is_none());
    }
}
