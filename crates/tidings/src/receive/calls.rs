//! Counts the calls of one handler. Only the handler's task writes the counts; calls that succeed
//! without waiting are counted once per frame.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The calls of one handler, for inspections.
#[derive(Debug, Default)]
pub(crate) struct CallCounts {
    ended: AtomicU64,
    failed: AtomicU64,
    timed_out: AtomicU64,
    /// The number of calls that waited for something.
    waited: AtomicU64,
    /// The time of the longest call in nanoseconds; 0 if there was none.
    slowest: AtomicU64,
}

/// The calls of one handler at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallsSoFar {
    pub(crate) in_progress: u64,
    pub(crate) handled: u64,
    pub(crate) failed: u64,
    pub(crate) timed_out: u64,
    pub(crate) slowest: Option<Duration>,
}

/// The begin of the calls of one frame, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameBegin {
    at: Instant,
    waited: u64,
}

impl CallCounts {
    /// Begins with the calls of a frame.
    pub(crate) fn begin(&self) -> FrameBegin {
        FrameBegin {
            at: Instant::now(),
            waited: self.waited.load(Ordering::Relaxed),
        }
    }

    /// Counts this many calls of a frame as ended.
    pub(crate) fn end(&self, begin: FrameBegin, calls: usize) {
        let calls = calls.max(1);
        self.ended.fetch_add(calls as u64, Ordering::Relaxed);
        // Calls that waited were measured one by one, and their times would count for the others.
        if self.waited.load(Ordering::Relaxed) == begin.waited {
            let calls = u32::try_from(calls).unwrap_or(u32::MAX);
            self.took(begin.at.elapsed() / calls);
        }
    }

    /// Counts one event as ended, apart from others of its frame.
    pub(crate) fn end_one(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an event as failed.
    pub(crate) fn fail(&self, is_timeout: bool) {
        let count = if is_timeout {
            &self.timed_out
        } else {
            &self.failed
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// A call that waited took this long.
    pub(crate) fn waited(&self, time: Duration) {
        self.waited.fetch_add(1, Ordering::Relaxed);
        self.took(time);
    }

    /// Returns the counts, for a handler that began this many calls, of which some can be concurrent.
    pub(crate) fn so_far(&self, begun: u64, concurrency: usize) -> CallsSoFar {
        let ended = self.ended.load(Ordering::Relaxed);
        let failed = self.failed.load(Ordering::Relaxed);
        let timed_out = self.timed_out.load(Ordering::Relaxed);
        // The calls of a frame count as ended together.
        let in_progress = begun.saturating_sub(ended).min(concurrency as u64);
        let handled = begun.max(ended) - in_progress;
        let slowest = self.slowest.load(Ordering::Relaxed);
        CallsSoFar {
            in_progress,
            handled: handled.saturating_sub(failed).saturating_sub(timed_out),
            failed,
            timed_out,
            slowest: (slowest > 0).then(|| Duration::from_nanos(slowest)),
        }
    }

    fn took(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.slowest.fetch_max(time, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_of_a_frame_count_one_by_one_while_they_run() {
        let calls = CallCounts::default();
        let begin = calls.begin();
        assert_eq!(calls.so_far(3, 1).handled, 2);
        assert_eq!(calls.so_far(3, 1).in_progress, 1);
        calls.fail(false);
        calls.fail(true);
        calls.end(begin, 5);

        let CallsSoFar { slowest, .. } = calls.so_far(5, 1);
        let expected = CallsSoFar {
            in_progress: 0,
            handled: 3,
            failed: 1,
            timed_out: 1,
            slowest,
        };
        assert_eq!(calls.so_far(5, 1), expected);
        assert!(slowest.is_some());
    }

    #[test]
    fn a_call_that_waited_is_measured_alone() {
        let calls = CallCounts::default();
        let long_ago = Instant::now().checked_sub(Duration::from_secs(9)).unwrap();
        let begin = FrameBegin {
            at: long_ago,
            waited: 0,
        };
        calls.waited(Duration::from_secs(2));
        calls.end(begin, 3);
        assert_eq!(calls.so_far(3, 1).slowest, Some(Duration::from_secs(2)));

        let begin = FrameBegin {
            at: long_ago,
            ..calls.begin()
        };
        calls.end(begin, 3);
        assert!(calls.so_far(6, 1).slowest >= Some(Duration::from_secs(3)));
    }
}
