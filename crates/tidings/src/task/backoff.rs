//! The delays between attempts to connect.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The longest delay without jitter, which at most doubles it: a bus reconnects within two seconds
/// after Redis is reachable again.
const LONGEST: Duration = Duration::from_millis(750);

/// The delays of one series of attempts: from 50 ms up to 1.5 s, with jitter, without end.
#[derive(Debug)]
pub(crate) struct Delays(ExponentialBackoff);

impl Delays {
    pub(crate) fn new() -> Self {
        let builder = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(LONGEST)
            .with_jitter()
            .without_max_times();
        Self(builder.build())
    }

    pub(crate) fn next(&mut self) -> Duration {
        self.0.next().unwrap_or(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_maximum_and_have_no_end() {
        let mut delays = Delays::new();
        let delays: Vec<_> = (0..100).map(|_| delays.next()).collect();
        assert!(delays[0] >= Duration::from_millis(50) && delays[0] <= Duration::from_millis(100));
        assert!(delays[99] >= LONGEST && delays[99] <= 2 * LONGEST);
    }
}
