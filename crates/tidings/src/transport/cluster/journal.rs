//! The node that has the journal: that of the slot, or while the slot moves the one that gets it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::pending;
use redis::RedisError;

use crate::error::connect::ConnectError;
use crate::task::mutex::Mutex;
use crate::transport::address::{Place, address_of};
use crate::transport::cluster::finder::Finder;
use crate::transport::cluster::redirect::Redirect;
use crate::transport::journal::{Appending, JournalConnected, JournalNode};

/// As [`BLOCK`](crate::transport::journal::BLOCK): a reader hears nothing once the journal has left
/// its node.
const BLOCK: Duration = Duration::from_secs(1);

/// The node that has the journal, as another one said.
#[derive(Debug, Default)]
pub(super) struct JournalOwner(Arc<Mutex<Option<Named>>>);

/// A node that another one named.
#[derive(Clone, Debug)]
struct Named {
    at: Place,
    /// True if it does not have the slot yet.
    is_importing: bool,
}

impl JournalOwner {
    pub(super) async fn connect(
        &self,
        finder: &Finder,
        appending: Arc<Appending>,
    ) -> Result<JournalConnected, ConnectError> {
        let named = self.0.lock().take();
        let Named { at, is_importing } = match named {
            Some(named) => Named {
                at: finder.last().translated(&named.at),
                ..named
            },
            None => owner(finder).await?,
        };
        let (next, asked) = (Arc::clone(&self.0), at.clone());
        let journal = JournalNode {
            is_asking: is_importing,
            block: BLOCK,
            redirect: Arc::new(move |error| *next.lock() = named_in(error, &asked)),
            appending,
        };
        let (at, left) = (address_of(&at), pending().boxed());
        finder.server.connect_journal(&at, left, journal).await
    }
}

/// The node that has the slot.
async fn owner(finder: &Finder) -> Result<Named, ConnectError> {
    let nodes = finder.around().await;
    let Some(owner) = nodes.owner(finder.slot) else {
        nodes.check_slots(finder.slot)?;
        return Err(nodes.why_none());
    };
    Ok(Named {
        at: owner.at,
        is_importing: false,
    })
}

/// The node that the one at `asked` named in its answer.
fn named_in(error: &RedisError, asked: &Place) -> Option<Named> {
    let (at, is_importing) = match Redirect::of(error, asked)? {
        Redirect::Moved(at) => (at, false),
        Redirect::Ask(at) => (at, true),
        Redirect::Again | Redirect::Demoted | Redirect::Down => return None,
    };
    Some(Named { at, is_importing })
}
