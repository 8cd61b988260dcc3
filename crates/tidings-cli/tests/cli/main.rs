//! Tests of the program `tidings` with real processes.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod commands;
mod run;
mod signals;
mod support;
mod watch;
