//! The examples from outside, with real processes.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod cluster;
mod runs;
mod save_search;
mod service;
mod shop;
mod visitor_counter;
mod workers_reload;
