//! Access to a journal for operations of the application.

use std::sync::Arc;
use std::time::Duration;

use tidings_codec::NodeId;
use tokio::time::timeout;

use crate::error::journal::JournalError;
use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::event::position::JournalPosition;
use crate::journal::position::Place;
use crate::journal::state::JournalState;
use crate::keyspace::journal::JournalStore;
use crate::keyspace::journal::answer::{self, Answered};
use crate::keyspace::journal::positions::Stored;

/// The maximum wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The extent of a journal, from [`JournalHandle::info`](crate::JournalHandle::info).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalInfo {
    /// The number of entries: frames, each with one or many events.
    pub entries: u64,
    /// The memory of Redis that the journal uses, in bytes.
    pub bytes: u64,
    /// The oldest position that it reaches back to.
    pub oldest: JournalPosition,
    /// The position of the last entry.
    pub newest: JournalPosition,
}

/// A [durable name](crate::Journal::durable) with its position, from
/// [`JournalHandle::positions`](crate::JournalHandle::positions).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DurableName {
    /// The name.
    pub name: String,
    /// The position up to which the events are handled; `None` if none is stored yet.
    pub position: Option<JournalPosition>,
    /// The time since the position was stored.
    pub age: Duration,
    /// The time for which the journal keeps events for the name.
    pub max_age: Duration,
    /// The bytes of events that the journal keeps for the name.
    pub max_bytes: u64,
    /// The bus that reads for the name; `None` if none does.
    pub holder: Option<NodeId>,
}

/// Runs an operation that changes nothing, as [`run`] does.
pub(crate) async fn read<T>(
    state: &JournalState,
    doing: &'static str,
    operation: impl AsyncFnOnce(Arc<dyn JournalStore>) -> Result<T, answer::JournalError>,
) -> Result<T, JournalError> {
    run(state, doing, operation)
        .await
        .map_err(JournalError::of_reading)
}

/// Runs an operation over the connection that appends.
pub(crate) async fn run<T>(
    state: &JournalState,
    doing: &'static str,
    operation: impl AsyncFnOnce(Arc<dyn JournalStore>) -> Result<T, answer::JournalError>,
) -> Result<T, JournalError> {
    let not_done = |why| JournalError::Unconfirmed { doing, why };
    let store = state.store.borrow().clone();
    let store = store.ok_or_else(|| not_done(Unconfirmed::NotSent(SendFailure::Unreachable)))?;
    match timeout(PATIENCE, operation(store)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(not_done(unconfirmed(error))),
        Err(_) => Err(not_done(Unconfirmed::Unknown(SendFailure::TimedOut(
            PATIENCE,
        )))),
    }
}

fn unconfirmed(error: answer::JournalError) -> Unconfirmed {
    let words = match error {
        answer::JournalError::Denied { words, cure } => {
            let denial = format!("{words} ({cure})");
            return Unconfirmed::NotSent(SendFailure::Denied(denial.into()));
        }
        answer::JournalError::Elsewhere(error) => error.to_string(),
        answer::JournalError::NotNow(words)
        | answer::JournalError::Refused { words, .. }
        | answer::JournalError::Key(words) => words,
        answer::JournalError::Lost => return Unconfirmed::Unknown(SendFailure::Lost),
    };
    Unconfirmed::NotSent(SendFailure::Refused(words.into()))
}

/// Reads the extent of a journal.
pub(crate) async fn info(
    store: Arc<dyn JournalStore>,
) -> Result<JournalInfo, answer::JournalError> {
    let page = store.newest().await?;
    let floor = page.floor.map(|floor| floor.id).unwrap_or_default();
    let newest = page.entries.last().map(|entry| entry.id);
    Ok(JournalInfo {
        entries: store.length().await?,
        bytes: store.bytes().await?,
        oldest: floor.max(page.first.unwrap_or_default()),
        newest: newest.unwrap_or_default(),
    })
}

/// Reads all durable names.
pub(crate) async fn positions(
    store: Arc<dyn JournalStore>,
) -> Result<Vec<DurableName>, answer::JournalError> {
    let (now, stored): (u64, Answered<Vec<Stored>>) = (store.time().await?, store.positions());
    let names = stored.await?.into_iter().map(|stored| {
        let place = stored.place.as_deref().map(str::parse::<Place>);
        let holder = stored.holder.parse().ok();
        DurableName {
            name: stored.name,
            position: place.and_then(|place| Some(place.ok()?.id)),
            age: Duration::from_millis(now.saturating_sub(stored.at)),
            max_age: stored.max_age,
            max_bytes: stored.max_bytes,
            holder: holder.filter(|_| stored.until > now),
        }
    });
    Ok(names.collect())
}
