//! One clock for all processes of the machine.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::oracle::Micros;

/// Converts a moment to the clock that all processes share.
pub(crate) fn micros(at: Instant) -> Micros {
    static ANCHOR: LazyLock<(Instant, Duration)> = LazyLock::new(|| {
        let time = clock_gettime(ClockId::Monotonic);
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        (Instant::now(), Duration::new(seconds, nanoseconds))
    });
    let (anchor, time) = *ANCHOR;
    let time = if at >= anchor {
        time + (at - anchor)
    } else {
        time.saturating_sub(anchor - at)
    };
    u64::try_from(time.as_micros()).unwrap_or(Micros::MAX)
}
