//! What others see of a bus: its metrics, and the traces that go through it.

mod metrics;
mod stderr;
mod traces;
