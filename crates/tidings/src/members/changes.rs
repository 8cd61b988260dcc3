//! Whether all changes of the roll were heard. No I/O.

/// The numbers of the changes that are known. Notices may be lost without a trace, but each change
/// has a number, and a renewal says which was the last.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The last change when all members were asked for.
    loaded: u64,
    /// The first and the last of the changes that were heard of without a gap.
    received: Option<(u64, u64)>,
    /// What the renewal before the last one said, and what was known then.
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

    /// Whether changes were missed, as far as this renewal can tell. What is under way now has come
    /// by the next one: only what lasts for so long is a mistake.
    pub(super) fn were_missed(&mut self, last: u64) -> bool {
        let known = self.known();
        let Some((last_then, known_then)) = self.before.replace((last, known)) else {
            return false;
        };
        let never_were = known_then > last;
        if never_were {
            // Somebody made them up, or Redis has lost them.
            self.received = None;
        }
        never_were || known < last_then
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
    fn while_nothing_changes_nothing_was_missed() {
        let mut changes = loaded();
        assert!((0..10).all(|_| !changes.were_missed(5)));
    }

    #[test]
    fn what_was_heard_was_not_missed_whichever_came_first() {
        let mut changes = loaded();
        changes.receive(6);
        assert!(!changes.were_missed(5));
        assert!(!changes.were_missed(7));
        changes.receive(7);
        assert!(!changes.were_missed(7));
        assert!(!changes.were_missed(7));
    }

    #[test]
    fn what_was_heard_while_all_were_asked_for_counts() {
        let mut changes = Changes::default();
        (4..=6).for_each(|change| changes.receive(change));
        changes.load(5);
        assert!((0..2).all(|_| !changes.were_missed(6)));
    }

    #[test]
    fn one_that_joined_and_one_that_left_unheard_do_not_make_up_for_each_other() {
        let mut changes = loaded();
        assert!(!changes.were_missed(7));
        assert!(changes.were_missed(7));
        changes.load(7);
        assert!((0..2).all(|_| !changes.were_missed(7)));
    }

    #[test]
    fn what_is_heard_behind_a_gap_does_not_hide_it() {
        let mut changes = loaded();
        changes.receive(7);
        assert!(!changes.were_missed(7));
        assert!(changes.were_missed(7));
    }

    #[test]
    fn changes_that_never_were_are_found_out() {
        let mut changes = loaded();
        changes.receive(6);
        assert!(!changes.were_missed(5));
        assert!(changes.were_missed(5));
        changes.load(5);
        assert!((0..3).all(|_| !changes.were_missed(5)));
    }
}
