//! Looks for frames whose answers were lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::event::numbers::Numbers;
use crate::event::position::JournalPosition;
use crate::keyspace::journal::answer::JournalError;
use crate::keyspace::journal::{Entry, JournalStore};

/// The number of entries that are read at once: each can have a frame of 1 MiB.
const PAGE: usize = 16;

/// The pause before a server is asked again that cannot answer now.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks for frames behind an entry, up to the end of the journal. Returns the first number and the
/// position of each frame that is there.
pub(crate) async fn find(
    store: Arc<dyn JournalStore>,
    after: JournalPosition,
    frames: Vec<Numbers>,
) -> Result<Vec<(u64, JournalPosition)>, JournalError> {
    let mut wanted = Wanted {
        frames,
        found: Vec::new(),
    };
    let mut from = after.next();
    while !wanted.frames.is_empty() {
        let page = match store.range(from, None, PAGE).await {
            // The task that follows the journal gives up a server that goes on with this answer.
            Err(JournalError::NotNow(_)) => {
                sleep(PAUSE).await;
                continue;
            }
            page => page?,
        };
        let Some(last) = page.entries.last() else {
            break;
        };
        from = last.id.next();
        for entry in &page.entries {
            wanted.compare(entry);
        }
        if page.entries.len() < PAGE {
            break;
        }
    }
    Ok(wanted.found)
}

/// The frames that are looked for, and those that were found.
struct Wanted {
    frames: Vec<Numbers>,
    found: Vec<(u64, JournalPosition)>,
}

impl Wanted {
    fn compare(&mut self, entry: &Entry) {
        let Some(numbers) = entry.numbers() else {
            return;
        };
        let at = self.frames.iter().position(|frame| *frame == numbers);
        // A later execution of the same frame is known everywhere, and does not count.
        if let Some(at) = at {
            let frame = self.frames.swap_remove(at);
            self.found.push((frame.first, entry.id));
        }
    }
}
