//! The protocol of the control socket: requests and responses, each a line of JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fleet::{ReloadStrategy, Reloaded};
use crate::status::{Status, Stopped};

pub(super) const MAX_REQUEST: u64 = 64 << 10;

/// More than the last ten lines of a worker, each of 64 KiB of escaped characters, or the status of the
/// largest number of workers.
pub(super) const MAX_RESPONSE: u64 = 16 << 20;

/// The time in which a line must be sent or received.
pub(super) const LINE_TIMEOUT: Duration = Duration::from_secs(5);

/// The time in which the first response must arrive. Silent clients can occupy all places of the server
/// for [`LINE_TIMEOUT`] before.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(8);

/// The only request of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub(super) enum Request {
    Status,
    /// Has two responses: whether it started or was queued, and its result.
    Reload {
        #[serde(default)]
        strategy: ReloadStrategy,
    },
    Scale {
        workers: usize,
    },
    /// Has two responses: when the stop has begun, and when all workers have exited.
    Stop {
        /// Kills all workers at once.
        #[serde(default)]
        now: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub(super) enum Response {
    Status(Status),
    Started,
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

/// The kind of reason for which a supervisor did not fulfil a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rejection {
    /// The supervisor belongs to another user.
    PermissionDenied,
    /// The supervisor does not understand the request, for example of another version.
    InvalidRequest,
    /// The reload failed. The workers that it did not replace keep running.
    ReloadFailed,
    /// The number of workers is out of range.
    InvalidWorkerCount,
    /// The supervisor is stopping.
    Stopping,
    /// A kind unknown to this version.
    #[serde(other)]
    Unknown,
}
