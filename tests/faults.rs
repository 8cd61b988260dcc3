//! What goes wrong with a real Redis, and what a bus makes of it.

/// The connections of a node that comes through a proxy, in the order it makes them.
const HEARING: usize = 0;
const SENDING: usize = 1;

mod acl;
mod addresses;
mod busy;
mod databases;
mod health;
mod idle;
mod interop;
mod logs;
mod loss;
mod memory_bounds;
mod outage;
mod receiving;
mod rejections;
mod secrets;
mod start;
mod tls;
mod traffic;
mod unknown_outcome;
mod versions;
