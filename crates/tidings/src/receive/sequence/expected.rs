//! The expected number of one sender, and its last frames, by which a repeated one is recognized.

use std::hash::BuildHasher;

use tokio::time::Instant;

use foldhash::fast::RandomState;

/// The number of a sender's last frames that are remembered: twice as many as can be in flight.
const LAST: usize = 4;

/// The number of frames in flight at a reconnect that are remembered: those of two reconnects.
const UNCERTAIN: usize = 4;

/// The number of frames of a sender that can be in flight.
pub(super) const IN_FLIGHT: usize = 2;

/// The number of bytes that are compared at the beginning and at the end of a dated frame.
const COMPARED: usize = 512;

/// A frame with sequence numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbered<'a> {
    pub(crate) first: u64,
    pub(crate) events: u32,
    pub(crate) bytes: &'a [u8],
    /// True if the first event has a time, as those of nodes have. Then the beginning of the frame
    /// distinguishes it from others with the same numbers.
    pub(crate) is_dated: bool,
    /// That time, in milliseconds since 1970; 0 if it is unknown.
    pub(crate) at: u64,
}

/// The classification of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// New, and nothing is missing before it.
    Next,
    /// The same frame was received before, or a later position was.
    Repeated,
    /// New, and this many events before it are missing.
    Missed(u64),
    /// New, although its numbers are lower than expected: the sender restarted, or another program
    /// used its id. The number of missed events is unknown.
    Restarted,
}

/// The state of one sender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) next: u64,
    /// The highest end of the remembered frames.
    highest: u64,
    /// The latest time of a frame, if frames may be late.
    latest: u64,
    pub(super) received: Instant,
    last: Frames<LAST>,
    uncertain: Frames<UNCERTAIN>,
}

/// The numbers of a frame, and a hash of its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) first: u64,
    pub(super) events: u32,
    pub(super) hash: u64,
}

/// A ring buffer of `N` frames.
#[derive(Clone, Copy, Debug)]
struct Frames<const N: usize> {
    frames: [Frame; N],
    oldest: usize,
}

impl Expected {
    pub(super) fn new(next: u64, now: Instant) -> Self {
        Self {
            next,
            highest: 0,
            latest: 0,
            received: now,
            last: Frames::default(),
            uncertain: Frames::default(),
        }
    }

    /// Classifies a frame; `at` is its time if it may be late.
    pub(super) fn receive_unless_late(
        &mut self,
        frame: Frame,
        at: Option<u64>,
        known: u64,
        now: Instant,
    ) -> Verdict {
        if let Some(at) = at {
            if frame.first < self.next && frame.events > 0 && at <= self.latest {
                return Verdict::Repeated;
            }
            self.latest = self.latest.max(at);
        }
        self.receive(frame, known, now)
    }

    fn receive(&mut self, frame: Frame, known: u64, now: Instant) -> Verdict {
        self.received = now;
        if frame.events == 0 {
            return self.receive_position(frame.first);
        }
        let (next, end) = (self.next, frame.end());
        if frame.first < self.highest && self.remembers(&frame) {
            self.next = next.max(end);
            return Verdict::Repeated;
        }
        let verdict = self.compare(frame.first);
        if verdict == Verdict::Restarted {
            if next - frame.first <= known {
                return Verdict::Repeated;
            }
            // The old numbering is over, except for the frame that was in flight with this one.
            self.forget_all_but(end);
        }
        self.next = end;
        self.highest = self.highest.max(end);
        self.last.push(frame);
        verdict
    }

    /// Classifies a position. A lower position is an old one: if the sender restarted, its next
    /// event shows it.
    fn receive_position(&mut self, position: u64) -> Verdict {
        let verdict = self.compare(position);
        match verdict {
            Verdict::Next => {
                // Senders state their position after each reconnect: the last frames may have been
                // in flight and can arrive again at any time.
                for frame in self.last.newest::<IN_FLIGHT>() {
                    if !self.uncertain.has(&frame) {
                        self.uncertain.push(frame);
                    }
                }
            }
            Verdict::Missed(_) => self.next = position,
            _ => return Verdict::Repeated,
        }
        verdict
    }

    fn compare(&self, first: u64) -> Verdict {
        match first.checked_sub(self.next) {
            Some(0) => Verdict::Next,
            Some(missed) => Verdict::Missed(missed),
            None => Verdict::Restarted,
        }
    }

    fn remembers(&self, frame: &Frame) -> bool {
        self.last.has(frame) || self.uncertain.has(frame)
    }

    fn forget_all_but(&mut self, first: u64) {
        self.last.retain(first);
        self.uncertain.retain(first);
        let ends = self.last.frames.iter().chain(&self.uncertain.frames);
        self.highest = ends.map(Frame::end).max().unwrap_or_default();
    }
}

impl Frame {
    fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.events))
    }
}

impl<const N: usize> Default for Frames<N> {
    fn default() -> Self {
        Self {
            frames: [Frame::default(); N],
            oldest: 0,
        }
    }
}

impl<const N: usize> Frames<N> {
    fn push(&mut self, frame: Frame) {
        self.frames[self.oldest] = frame;
        self.oldest = (self.oldest + 1) % N;
    }

    fn has(&self, frame: &Frame) -> bool {
        self.frames.contains(frame)
    }

    /// The newest `M` frames, oldest first.
    fn newest<const M: usize>(&self) -> impl Iterator<Item = Frame> + use<M, N> {
        let (frames, begin) = (self.frames, self.oldest + N - M);
        let newest = (begin..begin + M).map(move |at| frames[at % N]);
        newest.filter(|frame| frame.events > 0)
    }

    /// Removes all frames but those that begin at `first`.
    fn retain(&mut self, first: u64) {
        for frame in &mut self.frames {
            if frame.first != first {
                *frame = Frame::default();
            }
        }
    }
}

/// The hash of a frame's content. Two dated frames of one length that differ only in the middle
/// have the same hash.
pub(super) fn hash(hasher: &RandomState, frame: Numbered<'_>) -> u64 {
    let bytes = frame.bytes;
    let compared = if frame.is_dated && bytes.len() > 2 * COMPARED {
        let tail = &bytes[bytes.len() - COMPARED..];
        (&bytes[..COMPARED], tail)
    } else {
        (bytes, &[][..])
    };
    hasher.hash_one((bytes.len(), compared))
}
