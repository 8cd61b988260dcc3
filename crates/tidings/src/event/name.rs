//! Reserved names of events.

/// How the names of a bus's own events begin.
const PREFIX: &[u8] = b"tidings.";

/// Whether an event of this name is the bus's own.
pub(crate) fn is_control_event(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}
