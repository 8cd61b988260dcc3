//! Times as text.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the time of the day in UTC, with milliseconds.
pub(crate) fn utc() -> String {
    time_of_day(SystemTime::now())
}

pub(crate) fn time_of_day(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_millis(time).to_string();
    // `2026-11-28T12:30:25.118Z`
    text.get(11..23).unwrap_or_default().to_owned()
}

/// Returns the milliseconds since 1970.
pub(crate) fn milliseconds_of(time: SystemTime) -> u64 {
    milliseconds(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
