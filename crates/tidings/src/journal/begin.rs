//! The beginning: creates the journal if there is none and it may, and finds the position at which this bus
//! begins to read.

use std::sync::Arc;

use tidings_codec::{Format, NodeId, position_frame};

use crate::error::connect::ConnectError;
use crate::event::position::JournalPosition;
use crate::journal::durable::take;
use crate::journal::options::Since;
use crate::journal::position::identity::Identity;
use crate::journal::position::{Followed, Place, RING};
use crate::journal::role::{Durable, Role};
use crate::journal::state::JournalState;
use crate::keyspace::journal::answer::{Answered, JournalError};
use crate::keyspace::journal::{JournalStore, Uses};
use crate::task::milliseconds;
use crate::transport::journal::{JournalConnected, drive};

/// The position at which a bus begins to read, and the last entry of the journal at that time.
pub(crate) async fn begin(
    connected: &mut JournalConnected,
    state: &JournalState,
    (me, format): (NodeId, Format),
) -> Result<(Followed, JournalPosition), ConnectError> {
    let store = Arc::clone(&connected.store);
    let driver = &mut connected.sending.driver;
    let beginning = async {
        let uses = Uses {
            confirms: state.options.confirm.is_some(),
            is_durable: state.durable.is_some(),
        };
        answer("checking the journal", store.check(uses)).await?;
        let birth = state.options.create.then(|| position_frame(format, me, 1));
        // A durable name continues from the end, unless this bus becomes its reader.
        let since = match &state.durable {
            Some(_) => Since::Now,
            None => state.options.since,
        };
        let found = found(&*store, since, birth).await?;
        if let Some(durable) = &state.durable {
            durable.set_role(&first_role(&*store, durable).await?);
        }
        Ok(found)
    };
    drive(driver, beginning).await
}

/// Tries to take the durable name. If Redis rejects all writes for now, the bus stands by, and its task
/// tries again.
async fn first_role(store: &dyn JournalStore, durable: &Durable) -> Result<Role, ConnectError> {
    let error = match take(store, durable).await {
        Ok(role) => return Ok(role),
        Err(error) => error,
    };
    let is_refused = matches!(error, JournalError::Refused { .. });
    let error = error.into_connect_error("taking the durable name");
    if is_refused {
        let holder = String::new();
        return Ok(Role::Standby { holder });
    }
    Err(error)
}

async fn found(
    store: &dyn JournalStore,
    since: Since,
    birth: Option<bytes::Bytes>,
) -> Result<(Followed, JournalPosition), ConnectError> {
    let page = loop {
        let page = answer("reading the journal", store.newest()).await?;
        if !page.entries.is_empty() {
            break page;
        }
        let birth = birth.clone().ok_or(ConnectError::NoJournal)?;
        answer("creating the journal", store.create(birth)).await?;
    };
    let newest = page.entries.last();
    let tail = newest.map(|entry| entry.id).unwrap_or_default();
    let place = |id| Place { id, ..Place::START };
    let place = match since {
        Since::Now => Place {
            entry: newest.map(|entry| Identity::of(entry, entry.numbers())),
            ..place(tail)
        },
        Since::Ago(time) => {
            let now = answer("reading the time of redis", store.time()).await?;
            place(JournalPosition::at(now.saturating_sub(milliseconds(time))).previous())
        }
        // What was trimmed before is not missed.
        Since::Start => place(
            page.floor
                .map_or(JournalPosition::START, |floor| floor.id.previous()),
        ),
    };
    let began = match since {
        Since::Start => JournalPosition::START,
        Since::Now | Since::Ago(_) => place.id,
    };
    Ok((Followed::begin(place, began, RING), tail))
}

async fn answer<T>(doing: &'static str, answer: Answered<T>) -> Result<T, ConnectError> {
    answer
        .await
        .map_err(|error| error.into_connect_error(doing))
}
