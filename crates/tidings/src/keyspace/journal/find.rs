//! Looks for frames whose answers were lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::event::numbers::Numbers;
use crate::event::position::JournalPosition;
use crate::keyspace::journal::JournalStore;
use crate::keyspace::journal::answer::JournalError;

/// The number of entries that are read at once: each can have a frame of 1 MiB.
const PAGE: usize = 16;

/// The pause before a server is asked again that cannot answer now.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks for frames behind an entry, up to the end of the journal. Returns the first number and the
/// position of each frame that is there.
pub(crate) async fn find(
    store: Arc<dyn JournalStore>,
    after: JournalPosition,
    mut frames: Vec<Numbers>,
) -> Result<Vec<(u64, JournalPosition)>, JournalError> {
    let mut found = Vec::new();
    let mut from = after.next();
    while !frames.is_empty() {
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
            let numbers = entry.numbers();
            // A later execution of the same frame is known everywhere, and does not count.
            if let Some(at) = frames.iter().position(|frame| Some(*frame) == numbers) {
                found.push((frames.swap_remove(at).first, entry.id));
            }
        }
        if page.entries.len() < PAGE {
            break;
        }
    }
    Ok(found)
}
