//! The end-to-end suites: one program, because linking each suite by itself takes longer.
#![allow(missing_docs, reason = "each name is the promise")]
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod admin;
mod api;
mod cluster;
mod connections;
mod event_derive;
mod failover;
mod faults;
mod frozen;
mod journal;
mod observability;
mod programs;
mod promises;
mod runtime;
mod shared_state;
mod topologies;

mod log_capture;
mod place;
mod traffic;
