//! The task that trims the journal by age and by bytes, and looks how far it reaches.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::event::position::JournalPosition;
use crate::journal::page_size::PageSize;
use crate::journal::state::JournalState;
use crate::keyspace::journal::answer::JournalError;
use crate::keyspace::journal::positions::limits;
use crate::keyspace::journal::{Entry, JournalStore};
use crate::observe::journal::Look;
use crate::task::milliseconds;
use crate::task::random::jitter;
use crate::task::stage::{Stage, reached};

/// The time between two looks while this bus sends.
const BUSY: Duration = Duration::from_secs(1);

/// The time between two looks while it does not.
const IDLE: Duration = Duration::from_secs(20);

/// The maximum time of one look.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum number of pages that are read in one look to find the first entry to keep.
const PAGES: usize = 64;

/// Trims the journal until the bus is closed.
pub(crate) async fn keep_trimming(state: Arc<JournalState>, mut stage: watch::Receiver<Stage>) {
    loop {
        let store = state.store.borrow().clone();
        if let Some(store) = store {
            match timeout(TIMEOUT, trim(&*store, &state)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(?error, "cannot trim the journal"),
                Err(_) => tracing::debug!("cannot trim the journal: redis does not answer"),
            }
        }
        let pause = if state.appending.take() {
            BUSY
        } else {
            IDLE.min(state.options.max_age / 8).max(BUSY)
        };
        tokio::select! {
            () = sleep(jitter(pause, 0.8..1.2)) => {}
            () = state.appending.is_due.notified() => {}
            _ = reached(&mut stage, Stage::Leaving) => return,
        }
    }
}

/// Looks at the journal once, and removes what is too old or too much.
async fn trim(store: &dyn JournalStore, state: &JournalState) -> Result<(), JournalError> {
    // An old lack of memory does not count.
    let is_full = state.appending.take_full();
    let page = store.newest().await?;
    // A full Redis may have refused the floor after the last trim.
    let first = page.first.filter(|_| is_full);
    let floor = page.floor.map(|floor| floor.id).or(first);
    let (Some(newest), Some(floor)) = (page.entries.last(), floor) else {
        // Writes a floor, if there is a journal.
        return store.trim(JournalPosition::START).await.map(drop);
    };
    let (newest, now, used) = (newest.id, store.time().await?, store.bytes().await?);
    // The journal keeps what the most demanding durable name asks for.
    let (age, bytes) = limits(&store.positions().await?);
    let max_age = state.options.max_age.max(age);
    let max_bytes = state.options.max_bytes.max(bytes);
    let mut oldest = JournalPosition::at(now.saturating_sub(milliseconds(max_age)));
    if is_full {
        let kept = used - used / 8;
        let first = first_to_keep(store, state, (floor, used), kept).await?;
        store.trim_when_full(first.max(oldest).min(newest)).await?;
        state.meter.trims.add(1);
    } else {
        if used > max_bytes {
            let kept = max_bytes - max_bytes / 64;
            let first = first_to_keep(store, state, (floor, used), kept).await?;
            oldest = oldest.max(first);
        }
        oldest = oldest.min(newest);
        if oldest > floor && store.trim(oldest).await? {
            state.meter.trims.add(1);
        }
    }
    state.meter.looked(Look {
        oldest: oldest.max(floor),
        newest,
        bytes: used,
    });
    Ok(())
}

/// Returns the first position to keep, so that the journal uses about `kept` bytes.
async fn first_to_keep(
    store: &dyn JournalStore,
    state: &JournalState,
    (oldest, used): (JournalPosition, u64),
    kept: u64,
) -> Result<JournalPosition, JournalError> {
    let marked = state.marks.lock().first_to_keep(oldest, used, kept);
    if let Some(first) = marked {
        return Ok(first);
    }
    // This bus has not read that far back.
    let (mut excess, mut first) = (used.saturating_sub(kept), JournalPosition::START);
    let mut page_size = PageSize::new();
    for _ in 0..PAGES {
        let count = page_size.entries();
        let entries = store.range(first, None, count).await?.entries;
        let bytes = entries.iter().map(Entry::len).sum();
        for entry in &entries {
            first = entry.id.next();
            excess = excess.saturating_sub(Entry::len(entry) as u64);
            if excess == 0 {
                return Ok(first);
            }
        }
        if entries.len() < count {
            break;
        }
        page_size.was_read(entries.len(), bytes);
    }
    Ok(first)
}
