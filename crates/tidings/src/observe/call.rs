//! How a call of a handler ended, as metrics name it.

/// How a call ended. A payload that is not what the handler takes is no call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallResult {
    Ok,
    Failed,
    Panicked,
    TimedOut,
}
