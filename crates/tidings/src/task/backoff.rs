//! The waits between attempts to connect.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// The longest wait between two attempts to connect, before chance prolongs it to at most twice
/// this: a Redis that is back is heard again within two seconds, however long it was away.
pub(crate) const LONGEST: Duration = Duration::from_millis(750);

/// The waits between attempts to connect: from 50 ms up to 1.5 s, with jitter, without end.
pub(crate) fn delays() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(LONGEST)
        .with_jitter()
        .without_max_times()
        .build()
}

/// The waits of one row of attempts.
pub(crate) type Delays = Box<dyn Iterator<Item = Duration> + Send>;

pub(crate) fn endless_delays() -> Delays {
    Box::new(delays())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_cap_and_have_no_end() {
        let delays: Vec<_> = delays().take(100).collect();
        assert!(delays[0] >= Duration::from_millis(50) && delays[0] <= Duration::from_millis(100));
        assert!(delays[99] >= LONGEST && delays[99] <= 2 * LONGEST);
    }
}
