//! Serializes times in whole milliseconds, and reads them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serializer};

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

pub(crate) fn read_clock<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SystemTime, D::Error> {
    let since_epoch = Duration::from_millis(u64::deserialize(deserializer)?);
    // Untrusted input, which may be later than a clock can say.
    Ok(UNIX_EPOCH.checked_add(since_epoch).unwrap_or(UNIX_EPOCH))
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
pub(crate) fn some_duration<S: Serializer>(
    time: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_some(&milliseconds(*time)),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn read_some_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let time = Option::<u64>::deserialize(deserializer)?;
    Ok(time.map(Duration::from_millis))
}
