//! Times as text.

use std::time::SystemTime;

/// Returns the time of the day in UTC, with milliseconds.
pub(crate) fn utc() -> String {
    time_of_day(SystemTime::now())
}

pub(crate) fn time_of_day(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_millis(time).to_string();
    // `2026-11-28T12:30:25.118Z`
    text.get(11..23).unwrap_or_default().to_owned()
}
