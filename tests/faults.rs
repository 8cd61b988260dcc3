//! Faults of a real Redis, and the behaviour of a bus.

/// The connections of a node behind a proxy, in the order in which it opens them.
const HEARING: usize = 0;
const SENDING: usize = 1;

mod acl;
mod addresses;
pub(crate) mod busy;
mod credentials;
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
