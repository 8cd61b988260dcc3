//! The examples from outside, with real processes.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod runs;
mod visitor_counter;
mod workers_reload;
