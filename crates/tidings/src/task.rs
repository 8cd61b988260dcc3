//! Utilities of tasks, and the stages of a bus that its tasks follow.

pub(crate) mod backoff;
pub(crate) mod inline;
pub(crate) mod panic;
pub(crate) mod random;
pub(crate) mod stage;
pub(crate) mod timer;
