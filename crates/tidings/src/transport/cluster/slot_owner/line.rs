//! The connection to the node that has the slot, as requests and the task that keeps it see it.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, watch};

use crate::keyspace::redis::ConnectionNumber;
use crate::resp::Client;
use crate::transport::address::Place;
use crate::transport::cluster::finder::Finder;
use crate::transport::cluster::slot_owner::importing::Importing;

/// The state that requests and the task that keeps the connection share.
pub(super) struct Shared {
    pub(super) finder: Arc<Finder>,
    /// The connection, or why there is none.
    pub(super) line: watch::Sender<Result<Line, Arc<str>>>,
    /// The number of the connection, or why there is none.
    pub(super) state: watch::Sender<KeyState>,
    pub(super) hints: mpsc::Sender<Hint>,
    /// The connection to the node that the slot moves to.
    pub(super) importing: Mutex<Option<Importing>>,
}

/// The number of the connection, or why there is none at the moment.
pub(crate) type KeyState = Result<ConnectionNumber, Arc<str>>;

/// A connection to the node.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) number: ConnectionNumber,
    pub(super) at: Place,
    pub(super) client: Client,
    /// Not limited as the other: a check does not wait behind the commands of the application.
    pub(super) probe: Client,
}

/// A reason to look for another node.
#[derive(Debug)]
pub(super) struct Hint {
    /// The number of the connection that gave it.
    pub(super) line: u64,
    /// The node that was named, if one was.
    pub(super) to: Option<Place>,
}

impl Shared {
    /// Publishes the connection, or why there is none.
    pub(super) fn set(&self, line: Result<Line, Arc<str>>) {
        let state = line.as_ref().map(|line| line.number).map_err(Arc::clone);
        let _ = self.line.send_replace(line);
        let _ = self.state.send_replace(state);
    }
}
