//! What is asked and answered: each a line of JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fleet::{ReloadStrategy, Reloaded};
use crate::status::Status;
use crate::workers::Stopped;

/// No request is longer.
pub(super) const MAX_REQUEST: u64 = 64 << 10;

/// No answer is longer: the last ten lines of a worker, each of 64 KiB whose every character is escaped,
/// are far from it, and so is the status of as many workers as there can be.
pub(super) const MAX_RESPONSE: u64 = 16 << 20;

/// How long a line may take to be sent, or to be taken.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long the first answer may take: those who say nothing take all places for as long as a request
/// may take, and it is no answer that never comes.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(8);

/// One for each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub(super) enum Request {
    Status,
    /// Answered twice: with whether it began, and with what became of it.
    Reload {
        #[serde(default)]
        strategy: ReloadStrategy,
    },
    Scale {
        workers: usize,
    },
    /// Answered twice: when it began, and when all workers are gone.
    Stop {
        /// All workers are killed.
        #[serde(default)]
        now: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub(super) enum Response {
    Status(Status),
    Begun,
    /// Another reload runs.
    Queued,
    Reloaded(Reloaded),
    Scaled {
        from: usize,
    },
    Stopped(Stopped),
    Rejected {
        kind: Rejection,
        why: String,
    },
}

/// What kind of wish a supervisor did not fulfil.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rejection {
    /// It belongs to another user.
    PermissionDenied,
    /// It does not understand the request, as when it is of another version.
    InvalidRequest,
    /// A reload did not succeed: who was not replaced serves on.
    ReloadFailed,
    /// There cannot be so many workers.
    InvalidWorkerCount,
    /// It ends.
    Stopping,
    /// Something that this version does not know.
    #[serde(other)]
    Unknown,
}
