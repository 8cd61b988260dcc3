//! Commands to the event loop, and the state that it publishes.

use tokio::sync::oneshot;

use crate::error::{ReloadError, ScaleError};
use crate::fleet::{ReloadStart, ReloadStrategy, Reloaded};
use crate::status::{Status, Stopped};

#[derive(Debug)]
pub(crate) enum Command {
    Reload {
        strategy: ReloadStrategy,
        started: oneshot::Sender<ReloadStart>,
        done: ReloadDone,
    },
    Scale {
        workers: usize,
        done: oneshot::Sender<Result<usize, ScaleError>>,
    },
    Status(oneshot::Sender<Status>),
    Stop,
    Kill,
}

pub(crate) type ReloadDone = oneshot::Sender<Result<Reloaded, ReloadError>>;

/// The state of the workers that handles wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) are_all_ready: bool,
    pub(crate) stopped: Option<Stopped>,
}
