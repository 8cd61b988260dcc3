//! What a bus exports: its metrics, and the traces through it.

mod metrics;
mod stderr;
mod traces;
