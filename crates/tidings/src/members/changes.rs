//! Detects missed membership changes by their numbers. No I/O.

/// The numbers of the known changes. A notification may be lost, but each change has a number, and
/// a renewal returns the last one.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The last change when all members were loaded.
    loaded: u64,
    /// The first and the last change of the latest series that was received without a gap.
    received: Option<(u64, u64)>,
    /// The last change at the previous renewal, and the last known one then.
    before: Option<(u64, u64)>,
}

impl Changes {
    pub(super) fn load(&mut self, change: u64) {
        self.loaded = change;
        self.before = None;
    }

    pub(super) fn receive(&mut self, change: u64) {
        self.received = match self.received {
            Some((first, last)) if change == last.saturating_add(1) => Some((first, change)),
            Some((first, last)) if (first..=last).contains(&change) => self.received,
            _ => Some((change, change)),
        };
    }

    /// Returns whether changes were missed, as far as this renewal can tell. Notifications in
    /// transit arrive before the next renewal, so only a difference that lasts that long counts.
    pub(super) fn were_missed(&mut self, last: u64) -> bool {
        let known = self.known();
        let Some((last_then, known_then)) = self.before.replace((last, known)) else {
            return false;
        };
        let are_forged = known_then > last;
        if are_forged {
            // They were forged, or Redis lost them.
            self.received = None;
        }
        are_forged || known < last_then
    }

    /// The last change up to which all are known.
    fn known(&self) -> u64 {
        match self.received {
            Some((first, last)) if first <= self.loaded.saturating_add(1) => last.max(self.loaded),
            _ => self.loaded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded() -> Changes {
        let mut changes = Changes::default();
        changes.load(5);
        changes
    }

    #[test]
    fn without_changes_nothing_is_missed() {
        let mut changes = loaded();
        assert!((0..10).all(|_| !changes.were_missed(5)));
    }

    #[test]
    fn a_received_change_is_not_missed_whether_before_or_after_the_renewal() {
        let mut changes = loaded();
        changes.receive(6);
        assert!(!changes.were_missed(5));
        assert!(!changes.were_missed(7));
        changes.receive(7);
        assert!(!changes.were_missed(7));
        assert!(!changes.were_missed(7));
    }

    #[test]
    fn a_change_received_during_a_load_counts() {
        let mut changes = Changes::default();
        (4..=6).for_each(|change| changes.receive(change));
        changes.load(5);
        assert!((0..2).all(|_| !changes.were_missed(6)));
    }

    #[test]
    fn a_missed_join_and_a_missed_leave_do_not_cancel_out() {
        let mut changes = loaded();
        assert!(!changes.were_missed(7));
        assert!(changes.were_missed(7));
        changes.load(7);
        assert!((0..2).all(|_| !changes.were_missed(7)));
    }

    #[test]
    fn a_change_received_after_a_gap_does_not_hide_it() {
        let mut changes = loaded();
        changes.receive(7);
        assert!(!changes.were_missed(7));
        assert!(changes.were_missed(7));
    }

    #[test]
    fn forged_changes_are_detected() {
        let mut changes = loaded();
        changes.receive(6);
        assert!(!changes.were_missed(5));
        assert!(changes.were_missed(5));
        changes.load(5);
        assert!((0..3).all(|_| !changes.were_missed(5)));
    }
}
