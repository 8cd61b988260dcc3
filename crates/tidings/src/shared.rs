//! Shared values and maps: a replica in each process that follows every write.

pub(crate) mod changed;
pub(crate) mod codec;
pub(crate) mod contained;
pub(crate) mod map;
pub(crate) mod options;
pub(crate) mod reconciler;
pub(crate) mod refresh;
pub(crate) mod registry;
pub(crate) mod replica;
pub(crate) mod restore;
pub(crate) mod snapshot;
pub(crate) mod updates;
pub(crate) mod value;
pub(crate) mod value_replica;
pub(crate) mod watch;
pub(crate) mod write;
