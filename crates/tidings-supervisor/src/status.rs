//! The state of a supervisor and its workers.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// The state of a supervisor and its workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// The name of the supervisor.
    pub name: String,
    /// The process id of the supervisor.
    pub pid: u32,
    /// The program that the workers run, and its arguments.
    pub command: Vec<String>,
    /// The addresses of the workers, with the chosen port in place of port 0.
    #[serde(default)]
    pub listen: Vec<String>,
    /// The number of slots: the workers that there should be.
    pub slots: usize,
    /// True while a reload is running.
    pub is_reloading: bool,
    /// The workers in the order of their slots. During a reload a slot can have several.
    pub workers: Vec<WorkerStatus>,
}

/// The state of a worker, or of a slot without one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// The number of the slot, which the worker knows as `WORKER_ID`.
    pub slot: usize,
    /// The process id of the worker.
    pub pid: Option<u32>,
    /// The state of the worker.
    pub state: WorkerState,
    /// The time since its start, in JSON in seconds. Zero without a worker.
    #[serde(with = "crate::seconds")]
    pub uptime: Duration,
    /// The number of workers of this slot that were started after a death.
    pub restarts: u64,
    /// The exit of this slot's last worker that was not told to stop.
    pub last_exit: Option<Exit>,
}

/// The state of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WorkerState {
    /// It runs, and is not ready.
    Starting,
    /// It is ready.
    Ready,
    /// It finishes its work, and exits.
    Draining,
    /// The slot waits before it starts another worker: for the delay, or while two that announced their
    /// stop finish their work.
    Backoff,
    /// The slot starts no more workers until a reload: too many died.
    Failed,
    /// A state unknown to this version.
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

/// The result of stopping a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stopped {
    /// The number of workers that did not exit within the stop timeout, and were killed.
    pub killed: usize,
    /// True if the supervisor stopped by itself because all slots have failed.
    pub all_failed: bool,
}

impl Stopped {
    /// Returns whether the stop was requested and all workers exited in time.
    pub fn is_clean(&self) -> bool {
        self.killed == 0 && !self.all_failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_and_values_of_a_later_version_are_accepted() {
        let json = r#"{"name":"web","pid":7,"command":[],"slots":1,"is_reloading":false,"mood":"good",
            "workers":[{"slot":0,"pid":null,"state":"dreaming","uptime":0,"restarts":0,
            "last_exit":{"evicted":{"by":"nobody"}}}]}"#;
        let status: Status = serde_json::from_str(json).unwrap();
        let worker = &status.workers[0];
        assert_eq!(worker.state, WorkerState::Unknown);
        assert_eq!(worker.last_exit, Some(Exit::Other));
    }

    #[test]
    fn an_exit_survives_serialization() {
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
