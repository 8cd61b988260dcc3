//! Utilities of tasks, and the stages of a bus that its tasks follow.

use std::time::Duration;

pub(crate) mod backoff;
pub(crate) mod inline;
pub(crate) mod panic;
pub(crate) mod random;
pub(crate) mod stage;

/// Longer than any process lives, and short enough to be added to a time.
pub(crate) const FOREVER: Duration = Duration::from_hours(24 * 365 * 100);
