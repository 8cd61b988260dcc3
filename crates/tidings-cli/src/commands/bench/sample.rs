//! The payload of a measured event: its number and the time at which it was due.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The name of the event.
pub(super) const EVENT: &str = "bench.event";

/// A payload that is received. The filling is not read.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Sample {
    pub(super) number: u64,
    /// Nanoseconds since the epoch of this run.
    pub(super) time: u64,
}

#[derive(Serialize)]
pub(super) struct Filled<'a> {
    number: u64,
    time: u64,
    filling: &'a str,
}

/// Makes payloads of one size.
pub(super) struct Filler {
    size: usize,
    filling: String,
}

impl Filler {
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            filling: "x".repeat(size),
        }
    }

    /// Returns a payload whose JSON has the size.
    pub(super) fn fill(&self, number: u64, time: u64) -> Filled<'_> {
        let digits = |number: u64| number.checked_ilog10().unwrap_or(0) as usize + 1;
        let others = r#"{"number":,"time":,"filling":""}"#.len() + digits(number) + digits(time);
        Filled {
            number,
            time,
            filling: &self.filling[..self.size.saturating_sub(others)],
        }
    }
}

/// Returns a duration as nanoseconds.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the time since the epoch of this run.
pub(super) fn since(epoch: Instant) -> u64 {
    nanoseconds(epoch.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_of_a_payload_has_the_size_and_its_number_and_time() {
        let filler = Filler::new(128);
        for (number, time) in [(0, 0), (9, 10), (1_000_000, u64::from(u32::MAX))] {
            let json = serde_json::to_string(&filler.fill(number, time)).unwrap();
            assert_eq!(json.len(), 128, "{json}");
            let sample: Sample = serde_json::from_str(&json).unwrap();
            assert_eq!((sample.number, sample.time), (number, time));
        }
    }
}
