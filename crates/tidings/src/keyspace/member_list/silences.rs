//! For how long nobody renewed a lease, as far as that may excuse a member. No I/O. The scripts do
//! the same in Redis.

use std::time::Duration;

use tokio::time::Instant;

/// How long members may take to connect again after Redis was unreachable: none is given up before.
pub(crate) const RETURN: Duration = Duration::from_secs(2);

/// No shorter silence excuses anybody: the shortest lease is a second.
pub(super) const LEAST: Duration = Duration::from_millis(500);

/// How many silences are kept; of more, the two oldest count as one.
pub(super) const MOST: usize = 8;

/// The silences after which none was as long, the longest first. Each may have been an outage for
/// all, whichever member ended it: a member that renews seldom cannot tell, and others that renew
/// often can.
#[derive(Debug, Default)]
pub(super) struct Silences(Vec<Silence>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Silence {
    length: Duration,
    end: Instant,
}

impl Silences {
    pub(super) fn put(&mut self, length: Duration, end: Instant) {
        if length < LEAST {
            return;
        }
        // A later one that is as long excuses for longer.
        self.0.retain(|silence| silence.length > length);
        self.0.push(Silence { length, end });
        if self.0.len() > MOST {
            let longest = self.0.remove(0);
            self.0[0].length = longest.length;
        }
    }

    /// Whether a member with this lease may not have had the time to renew it, as far as one can
    /// tell that renews its own lease now.
    ///
    /// After a silence of more than half of the longer lease, it has its whole lease and the time to
    /// connect. Where a silence was shorter than that, but longer than what lies between two
    /// renewals, it has the time to connect.
    pub(super) fn excuse(&self, its: Duration, renewing: Duration, now: Instant) -> bool {
        let longer = its.max(renewing);
        self.0.iter().any(|silence| {
            let needs = if silence.length > longer / 2 {
                its + RETURN
            } else if silence.length > longer.mul_f64(0.4) {
                RETURN
            } else {
                return false;
            };
            now - silence.end < needs
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The silences that end at these seconds, each so many seconds long.
    fn silences(all: &[(u32, u32)], began: Instant) -> Silences {
        let mut silences = Silences::default();
        for (length, end) in all {
            silences.put(SECOND * *length, began + SECOND * *end);
        }
        silences
    }

    #[test]
    fn a_silence_that_one_which_renews_seldom_has_ended_excuses_those_that_renew_often() {
        let began = Instant::now();
        // One with a lease of 40 s renews first, and then all others.
        let silences = silences(&[(8, 8)], began);
        for (its, renewing, until) in [(5, 5, 8 + 7), (5, 10, 8 + 7), (10, 5, 8 + 12)] {
            let excuse = |at| silences.excuse(SECOND * its, SECOND * renewing, began + SECOND * at);
            assert!(excuse(8) && excuse(until - 1), "{its} {renewing}");
            assert!(!excuse(until), "{its} {renewing}");
        }
        // It is not longer than what lies between two renewals of a lease of 40 s.
        assert!(!silences.excuse(SECOND * 5, SECOND * 40, began + SECOND * 8));
    }

    #[test]
    fn after_a_short_silence_there_is_time_to_connect() {
        let began = Instant::now();
        let silences = silences(&[(7, 7)], began);
        let excuse = |at| silences.excuse(SECOND * 15, SECOND * 15, began + SECOND * at);
        assert!(excuse(8));
        assert!(!excuse(9));
    }

    #[test]
    fn shorter_silences_do_not_hide_a_longer_one() {
        let began = Instant::now();
        let silences = silences(&[(8, 8), (1, 9), (2, 11), (1, 12)], began);
        assert!(silences.excuse(SECOND * 10, SECOND * 10, began + SECOND * 19));
        assert!(!silences.excuse(SECOND * 10, SECOND * 10, began + SECOND * 20));
    }

    proptest! {
        #[test]
        fn what_is_forgotten_excuses_nobody(
            lengths in vec(0_u64..60_000, 0..100),
            its in 1_000_u64..60_000,
            renewing in 1_000_u64..60_000,
            later in 0_u64..60_000,
        ) {
            let (its, renewing) = (Duration::from_millis(its), Duration::from_millis(renewing));
            let (mut stored, mut all) = (Silences::default(), Silences::default());
            let mut end = Instant::now();
            for length in lengths {
                let length = Duration::from_millis(length);
                end += length;
                stored.put(length, end);
                all.0.push(Silence { length, end });
            }
            let now = end + Duration::from_millis(later);
            prop_assert!(stored.0.len() <= MOST);
            prop_assert!(stored.excuse(its, renewing, now) || !all.excuse(its, renewing, now));
        }
    }
}
