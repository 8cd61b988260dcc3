//! The metrics of a bus, and the traces through it.

mod metrics;
mod stderr;
mod traces;
