//! The delays between attempts to connect.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// The longest delay without jitter, which at most doubles it: a bus reconnects within two seconds
/// after Redis is reachable again.
pub(crate) const LONGEST: Duration = Duration::from_millis(750);

/// The delays between attempts to connect: from 50 ms up to 1.5 s, with jitter, without end.
pub(crate) fn delays() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(LONGEST)
        .with_jitter()
        .without_max_times()
        .build()
}

/// The delays of one series of attempts.
pub(crate) type Delays = Box<dyn Iterator<Item = Duration> + Send>;

pub(crate) fn endless_delays() -> Delays {
    Box::new(delays())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_maximum_and_have_no_end() {
        let delays: Vec<_> = delays().take(100).collect();
        assert!(delays[0] >= Duration::from_millis(50) && delays[0] <= Duration::from_millis(100));
        assert!(delays[99] >= LONGEST && delays[99] <= 2 * LONGEST);
    }
}
