//! Tests of the supervisor with real processes of `examples/misbehaving.rs`.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod directory;
mod harness;
mod load;

mod deaths;
mod environment;
mod orphans;
mod output;
mod pauses;
mod recluster;
mod reload_under_load;
mod reloads;
