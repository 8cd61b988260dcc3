//! Shared values and maps: each process has a copy that follows what any of them writes.

pub(crate) mod changed;
pub(crate) mod contained;
pub(crate) mod lost;
pub(crate) mod map;
pub(crate) mod options;
pub(crate) mod reconciler;
pub(crate) mod refresh;
pub(crate) mod registry;
pub(crate) mod shareable;
pub(crate) mod snapshot;
pub(crate) mod updates;
pub(crate) mod value;
pub(crate) mod value_replica;
pub(crate) mod watch;
pub(crate) mod write;
