//! The program `tidings` from outside, with real processes.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod run;
mod signals;
mod steer;
mod support;
mod watch;
