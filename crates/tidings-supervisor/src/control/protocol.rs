//! What is asked and answered: each a line of JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fleet::{Order, Reloaded};
use crate::status::Status;
use crate::workers::Stopped;

/// No request is longer.
pub(super) const LONGEST_REQUEST: u64 = 64 << 10;

/// No answer is longer: the last ten lines of a worker, each of 64 KiB whose every character is escaped,
/// are far from it, and so is the status of as many workers as there can be.
pub(super) const LONGEST_ANSWER: u64 = 16 << 20;

/// How long a line may take to be sent, or to be taken.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long the first answer may take: those who say nothing take all places for as long as a request
/// may take, and it is no answer that never comes.
pub(super) const ANSWER: Duration = Duration::from_secs(8);

/// One for each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(super) enum Request {
    Status,
    /// Answered twice: with whether it began, and with what became of it.
    Reload {
        #[serde(default)]
        order: Order,
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
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum Answer {
    Status(Status),
    Begun,
    /// Another reload runs.
    Queued,
    Reloaded(Reloaded),
    Scaled {
        from: usize,
    },
    Stopped(Stopped),
    Refused {
        kind: Refusal,
        why: String,
    },
}

/// What kind of wish a supervisor did not fulfil.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// It belongs to another user.
    NotYours,
    /// It does not understand the request, as when it is of another version.
    Request,
    /// A reload did not succeed: who was not replaced serves on.
    Reload,
    /// There cannot be so many workers.
    Scale,
    /// It ends.
    Ending,
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}
