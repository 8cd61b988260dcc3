//! The error of a shutdown that ran out of time.

/// A shutdown that was not finished in time, and what it left.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "the shutdown timed out (events not handled: {unhandled}, handlers still running: {running}, events not acknowledged by redis: {unsent})"
)]
#[non_exhaustive]
pub struct ShutdownError {
    /// Events that waited in the queues of handlers.
    pub unhandled: u64,
    /// Handlers that were still running; they were dropped.
    pub running: u64,
    /// Events that were accepted for sending and not acknowledged by Redis.
    pub unsent: u64,
}
