//! Serializes times in whole milliseconds.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serializer;

use crate::task::milliseconds;

pub(crate) fn duration<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(milliseconds(*time))
}

/// The time that has passed since then.
pub(crate) fn ago<S: Serializer>(then: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    duration(&then.elapsed(), serializer)
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
pub(crate) fn some_ago<S: Serializer>(
    then: &Option<Instant>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match then {
        Some(then) => serializer.serialize_some(&milliseconds(then.elapsed())),
        None => serializer.serialize_none(),
    }
}

/// The time since the Unix epoch.
pub(crate) fn clock<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    duration(
        &time.duration_since(UNIX_EPOCH).unwrap_or_default(),
        serializer,
    )
}
