//! The number of entries that are read at once. No I/O.

/// The number after each connect: the size of the frames is not known.
const FIRST: usize = 8;

/// The maximum.
const MOST: usize = 256;

/// The size of a page in bytes that is not to be exceeded. With 2 MiB, a process that reads a million
/// events takes 14 MiB more memory, and no less time.
const BYTES: usize = 1 << 20;

/// The number of entries of the next page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageSize(usize);

impl PageSize {
    pub(crate) fn new() -> Self {
        Self(FIRST)
    }

    pub(crate) fn entries(self) -> usize {
        self.0
    }

    /// Adapts to a page of this many bytes: grows step by step, if twice as many entries may fit, and
    /// falls at once.
    pub(crate) fn was_read(&mut self, entries: usize, bytes: usize) {
        if bytes > BYTES {
            self.0 = (entries * BYTES / bytes).max(1);
        } else if entries >= self.0 && 2 * bytes <= BYTES {
            self.0 = (self.0 * 2).min(MOST);
        }
    }

    /// The connection was lost, perhaps because a page was too large for it.
    pub(crate) fn was_lost(&mut self) {
        self.0 = (self.0 / 2).clamp(1, FIRST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_step_by_step_and_shrink_at_once() {
        let mut size = PageSize::new();
        let mut after = |entries, bytes| {
            size.was_read(entries, bytes);
            size.entries()
        };
        assert_eq!(after(8, 800), 16);
        assert_eq!(after(3, 300), 16, "the journal had no more");
        for _ in 0..10 {
            after(256, 2_560);
        }
        assert_eq!(after(256, 128 * BYTES), 2);
        assert_eq!(after(2, BYTES / 2 + 1), 2, "twice as many would not fit");
        assert_eq!(after(2, 64 * BYTES), 1);
    }

    #[test]
    fn a_lost_connection_halves_the_page_until_one_entry_is_left() {
        let mut size = PageSize::new();
        let sizes: Vec<_> = (0..5)
            .map(|_| {
                size.was_lost();
                size.entries()
            })
            .collect();
        assert_eq!(sizes, [4, 2, 1, 1, 1]);
    }
}
