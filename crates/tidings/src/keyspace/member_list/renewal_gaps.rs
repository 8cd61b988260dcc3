//! Long gaps between renewals, which may be outages that excuse expired leases. No I/O. The scripts
//! do the same in Redis.

use std::time::Duration;

use tokio::time::Instant;

/// The time that members may take to reconnect after an outage of Redis; no member expires earlier.
pub(crate) const RECONNECT_TIME: Duration = Duration::from_secs(2);

/// Shorter gaps excuse no member: the shortest lease is 1 s.
pub(super) const MIN_LENGTH: Duration = Duration::from_millis(500);

/// The maximal number of gaps; beyond it the two oldest become one.
pub(super) const MAX_GAPS: usize = 8;

/// The gaps that no later gap exceeds, the longest first. Each may have been an outage for all,
/// whichever member ended it: a member that renews seldom cannot tell, but members that renew often
/// can.
#[derive(Debug, Default)]
pub(super) struct RenewalGaps(Vec<RenewalGap>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RenewalGap {
    length: Duration,
    end: Instant,
}

impl RenewalGaps {
    pub(super) fn put(&mut self, length: Duration, end: Instant) {
        if length < MIN_LENGTH {
            return;
        }
        // A later gap of the same length excuses for longer.
        self.0.retain(|gap| gap.length > length);
        self.0.push(RenewalGap { length, end });
        if self.0.len() > MAX_GAPS {
            let longest = self.0.remove(0);
            self.0[0].length = longest.length;
        }
    }

    /// Returns whether a member with this lease may have had no time to renew it, as far as a
    /// member that renews its own lease now can tell.
    ///
    /// After a gap of more than half of the longer lease, it has its whole lease and the time to
    /// reconnect. After a shorter gap that is longer than the time between two renewals, it has the
    /// time to reconnect.
    pub(super) fn excuses(&self, lease: Duration, renewing: Duration, now: Instant) -> bool {
        let longer = lease.max(renewing);
        self.0.iter().any(|gap| {
            let time = if gap.length > longer / 2 {
                lease + RECONNECT_TIME
            } else if gap.length > longer.mul_f64(0.4) {
                RECONNECT_TIME
            } else {
                return false;
            };
            now - gap.end < time
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Gaps with these lengths and ends, in seconds.
    fn gaps(all: &[(u32, u32)], began: Instant) -> RenewalGaps {
        let mut gaps = RenewalGaps::default();
        for (length, end) in all {
            gaps.put(SECOND * *length, began + SECOND * *end);
        }
        gaps
    }

    #[test]
    fn a_gap_ended_by_a_member_that_renews_seldom_excuses_members_that_renew_often() {
        let began = Instant::now();
        // A member with a lease of 40 s renews first, and then all others.
        let gaps = gaps(&[(8, 8)], began);
        for (lease, renewing, until) in [(5, 5, 8 + 7), (5, 10, 8 + 7), (10, 5, 8 + 12)] {
            let excuses = |at| gaps.excuses(SECOND * lease, SECOND * renewing, began + SECOND * at);
            assert!(excuses(8) && excuses(until - 1), "{lease} {renewing}");
            assert!(!excuses(until), "{lease} {renewing}");
        }
        // It is not longer than the time between two renewals of a lease of 40 s.
        assert!(!gaps.excuses(SECOND * 5, SECOND * 40, began + SECOND * 8));
    }

    #[test]
    fn after_a_short_gap_there_is_time_to_reconnect() {
        let began = Instant::now();
        let gaps = gaps(&[(7, 7)], began);
        let excuses = |at| gaps.excuses(SECOND * 15, SECOND * 15, began + SECOND * at);
        assert!(excuses(8));
        assert!(!excuses(9));
    }

    #[test]
    fn shorter_gaps_do_not_hide_a_longer_one() {
        let began = Instant::now();
        let gaps = gaps(&[(8, 8), (1, 9), (2, 11), (1, 12)], began);
        assert!(gaps.excuses(SECOND * 10, SECOND * 10, began + SECOND * 19));
        assert!(!gaps.excuses(SECOND * 10, SECOND * 10, began + SECOND * 20));
    }

    proptest! {
        #[test]
        fn a_merged_gap_excuses_no_additional_member(
            lengths in vec(0_u64..60_000, 0..100),
            lease in 1_000_u64..60_000,
            renewing in 1_000_u64..60_000,
            later in 0_u64..60_000,
        ) {
            let (lease, renewing) = (Duration::from_millis(lease), Duration::from_millis(renewing));
            let (mut gaps, mut all) = (RenewalGaps::default(), RenewalGaps::default());
            let mut end = Instant::now();
            for length in lengths {
                let length = Duration::from_millis(length);
                end += length;
                gaps.put(length, end);
                all.0.push(RenewalGap { length, end });
            }
            let now = end + Duration::from_millis(later);
            prop_assert!(gaps.0.len() <= MAX_GAPS);
            prop_assert!(gaps.excuses(lease, renewing, now) || !all.excuses(lease, renewing, now));
        }
    }
}
