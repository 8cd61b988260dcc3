//! The workers as they are now.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// A supervisor and its workers, as they are now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// What the supervisor is called.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// The program that the workers run, and its arguments.
    pub command: Vec<String>,
    /// Where the workers are reached; a port 0 has become one.
    #[serde(default)]
    pub listen: Vec<String>,
    /// How many workers there should be.
    pub slots: usize,
    /// A reload is running.
    pub is_reloading: bool,
    /// In the order of their slots; during a reload a slot can have several.
    pub workers: Vec<WorkerStatus>,
}

/// One worker, or a slot that has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// The number of its slot, which it has as `WORKER_ID`.
    pub slot: usize,
    /// Its process.
    pub pid: Option<u32>,
    /// What it does.
    pub state: WorkerState,
    /// How long it has run; where there is no worker, zero. In JSON, in seconds.
    #[serde(with = "crate::seconds")]
    pub uptime: Duration,
    /// How often a worker of this slot was started in the place of one that died.
    pub restarts: u64,
    /// How the last one of this slot that was not told to end did end.
    pub last_exit: Option<Exit>,
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WorkerState {
    /// It runs, and is not ready.
    Starting,
    /// It serves.
    Ready,
    /// It finishes what it has, and ends.
    Draining,
    /// There is none; the slot waits to start another.
    Backoff,
    /// There is none, until a reload: too many died.
    Failed,
    /// Something that this version does not know.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Backoff => "backoff",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_version_says_is_understood_as_far_as_it_can_be() {
        let said = r#"{"name":"web","pid":7,"command":[],"slots":1,"is_reloading":false,"mood":"good",
            "workers":[{"slot":0,"pid":null,"state":"dreaming","uptime":0,"restarts":0,
            "last_exit":{"evicted":{"by":"nobody"}}}]}"#;
        let status: Status = serde_json::from_str(said).unwrap();
        let worker = &status.workers[0];
        assert_eq!(worker.state, WorkerState::Unknown);
        assert_eq!(worker.last_exit, Some(Exit::Other));
    }

    #[test]
    fn an_exit_is_read_as_it_was_written() {
        for exit in [
            Exit::Status(1),
            Exit::Signal(9),
            Exit::NotStarted("no".to_owned()),
        ] {
            let written = serde_json::to_string(&exit).unwrap();
            assert_eq!(serde_json::from_str::<Exit>(&written).unwrap(), exit);
        }
    }
}
