//! The supervisor with real processes: they do what `examples/misbehaving.rs` is told.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

#[path = "../support/directory.rs"]
mod directory;
mod harness;

mod deaths;
mod given;
mod orphans;
mod output;
mod pauses;
mod recluster;
mod reloads;
