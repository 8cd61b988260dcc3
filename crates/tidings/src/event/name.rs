//! Reserved names of events.

/// The prefix of control events.
const PREFIX: &[u8] = b"tidings.";

/// Returns true for the name of a control event.
#[inline]
pub(crate) fn is_control_event(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}
