//! Utilities of tasks. They know nothing of tidings.

pub(crate) mod backoff;
pub(crate) mod inline;
pub(crate) mod panic;
pub(crate) mod stage;
pub(crate) mod timer;
