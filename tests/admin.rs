//! The servers behind an address, for operators.

mod failover;
mod servers;
