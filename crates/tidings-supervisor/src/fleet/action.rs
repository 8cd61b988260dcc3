//! Inputs of the fleet, and the actions that it decides on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ReloadError;
use crate::event::SupervisorEvent;
use crate::exit::Exit;

/// The identity of one process, from before its start until after its exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) u64);

/// An action for the event loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Start {
        worker: Key,
        slot: usize,
    },
    /// Sends the stop signal to the worker.
    Terminate(Key),
    /// Kills the worker's process group.
    Kill(Key),
    Report(SupervisorEvent),
    /// Responds to those who requested a reload.
    Respond(Vec<Ticket>, Result<Reloaded, ReloadError>),
}

/// The exit of a worker, and the last lines that it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkerExit {
    pub(crate) exit: Exit,
    pub(crate) last_lines: Vec<String>,
}

/// Returns the last lines of a running worker.
pub(crate) type LastLinesOf<'a> = &'a dyn Fn(Key) -> Vec<String>;

/// The order in which a reload replaces workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadStrategy {
    /// Starts all new workers together, and stops the old ones when all new ones are ready. Until then
    /// there are twice as many workers. If a new worker fails, all old ones keep running.
    #[default]
    AllAtOnce,
    /// Replaces one slot after the other, each when the old worker of the one before has exited, so that
    /// there is at most one additional worker. If a new worker fails, the slots before it keep their
    /// new workers.
    Rolling,
}

/// The result of a successful reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reloaded {
    /// The number of workers that were replaced.
    pub workers: usize,
    /// The strategy that was used. Requests that share a reload get [`ReloadStrategy::AllAtOnce`] if
    /// one of them asked for that.
    #[serde(default)]
    pub strategy: ReloadStrategy,
    /// The time until all new workers were ready, in JSON in seconds. It does not include the exit of
    /// the old workers.
    #[serde(with = "crate::seconds")]
    pub took: Duration,
}

/// A request for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// The state of a requested reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReloadStart {
    Started,
    /// Another reload runs. All requests in the meantime share the one after it.
    Queued,
}
