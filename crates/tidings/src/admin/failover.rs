//! Planned failovers: a replica becomes the master, and no event is lost.
//!
//! The writes of both servers wait, `PUBLISH` among them, until the replica has all of the master and
//! the subscribers have moved. Events that were on the way are sent again to the new master.

mod line;
mod pause;
pub(super) mod plan;
mod prefer;
pub(super) mod report;
mod run;
mod sentinel;
mod shard;
mod subscribers;
