//! Random delays and identifiers.

use std::ops::Range;
use std::time::Duration;

/// Returns `time` multiplied by a random number of `factors`, so that the processes of a fleet do
/// not act at the same moment.
pub(crate) fn jitter(time: Duration, factors: Range<f64>) -> Duration {
    time.mul_f64(factors.start + (factors.end - factors.start) * fastrand::f64())
}

/// Returns a number that no other process gets.
pub(crate) fn unique() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system provides random numbers");
    u128::from_ne_bytes(bytes)
}
