//! Utilities of tasks, and the stages of a bus that its tasks follow.

use std::time::Duration;

pub(crate) mod backoff;
pub(crate) mod inline;
pub(crate) mod mailbox;
pub(crate) mod mutex;
pub(crate) mod panic;
pub(crate) mod random;
pub(crate) mod stage;
pub(crate) mod watch;

/// Longer than any process lives, and short enough to be added to a time.
pub(crate) const FOREVER: Duration = Duration::from_hours(24 * 365 * 100);

pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
