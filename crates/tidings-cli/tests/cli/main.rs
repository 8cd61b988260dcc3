//! Tests of the program `tidings` with real processes.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bad_input;
mod bench;
mod book;
mod commands;
mod console;
mod contract;
mod doctor;
mod events;
mod every;
mod exit;
mod failover;
mod fleet;
mod journal;
mod listen;
mod members;
mod own_process;
mod pty;
mod run;
mod schema;
mod servers;
mod settings;
mod signals;
mod state;
mod support;
mod terminal;
mod topologies;
mod watch;
