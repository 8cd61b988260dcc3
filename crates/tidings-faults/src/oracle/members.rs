//! Checks whether a living member was declared gone without a reason. A plain function of plain
//! values.

use std::time::Duration;

use super::Micros;

/// The time that a member needs to recover. A disturbance that begins earlier continues the one
/// before.
const RECOVERY: Micros = 2_000_000;

/// An event that kept members from renewing their leases, or may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disturbance {
    pub(crate) from: Micros,
    pub(crate) until: Micros,
    /// The member that was disturbed; `None` is all of them.
    pub(crate) member: Option<usize>,
}

/// Returns whether a living member may be declared gone at this moment, because it could not renew
/// for three quarters of its lease. A single disturbance of all members is no reason, however long
/// it is.
pub(crate) fn may_be_gone(
    member: usize,
    lease: Duration,
    at: Micros,
    disturbances: &[Disturbance],
) -> bool {
    let concerns = |one: &&Disturbance| one.member.is_none_or(|whom| whom == member);
    let enough = u64::try_from(lease.as_micros()).unwrap_or(Micros::MAX) / 4 * 3;
    let mut times = disturbances.iter().filter(concerns).peekable();
    while let Some(first) = times.next() {
        let (mut until, mut is_reason) = (first.until, first.member.is_some());
        while let Some(next) = times.next_if(|next| next.from <= until.saturating_add(RECOVERY)) {
            (until, is_reason) = (until.max(next.until), true);
        }
        let recovered = until.saturating_add(RECOVERY);
        let was_long = recovered - first.from >= enough;
        // The expiry is detected up to half a lease later.
        let found_out = recovered.saturating_add(enough);
        if is_reason && was_long && (first.from..=found_out).contains(&at) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(8);
    const SECOND: Micros = 1_000_000;

    fn disturbance(from: u64, until: u64, member: Option<usize>) -> Disturbance {
        Disturbance {
            from: from * SECOND,
            until: until * SECOND,
            member,
        }
    }

    fn may_be_gone_at(second: u64, disturbances: &[Disturbance]) -> bool {
        may_be_gone(1, LEASE, second * SECOND, disturbances)
    }

    #[test]
    fn an_undisturbed_member_may_not_be_gone() {
        assert!(!may_be_gone_at(20, &[]));
        assert!(!may_be_gone_at(20, &[disturbance(10, 19, Some(2))]));
        assert!(!may_be_gone_at(90, &[disturbance(10, 19, Some(1))]));
    }

    #[test]
    fn a_short_disturbance_is_no_reason() {
        assert!(!may_be_gone_at(12, &[disturbance(10, 13, Some(1))]));
    }

    #[test]
    fn a_long_disturbance_is_a_reason() {
        assert!(may_be_gone_at(19, &[disturbance(10, 19, Some(1))]));
    }

    #[test]
    fn an_outage_of_all_is_no_reason_however_long() {
        assert!(!may_be_gone_at(41, &[disturbance(10, 40, None)]));
    }

    #[test]
    fn disturbances_in_close_succession_are_one() {
        let both = [disturbance(10, 12, None), disturbance(13, 15, Some(1))];
        assert!(may_be_gone_at(18, &both));
        let apart = [disturbance(10, 11, None), disturbance(14, 15, Some(1))];
        assert!(!may_be_gone_at(16, &apart));
    }
}
