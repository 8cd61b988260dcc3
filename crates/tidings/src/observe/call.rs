//! The outcomes of handler calls, as metrics name them.

/// The outcome of a call. A payload that cannot be decoded is no call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallResult {
    Ok,
    Failed,
    Panicked,
    TimedOut,
}
