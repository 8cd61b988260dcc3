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
    pub state: State,
    /// How long it has run; where there is no worker, zero. In JSON, in seconds.
    #[serde(with = "crate::seconds")]
    pub age: Duration,
    /// How often a worker of this slot was started in the place of one that died.
    pub restarts: u64,
    /// How the last one of this slot that was not told to end did end.
    pub last_exit: Option<Exit>,
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// It runs, and is not ready.
    Starting,
    /// It serves.
    Ready,
    /// It finishes what it has, and ends.
    Draining,
    /// There is none; the slot waits to start another.
    Waiting,
    /// There is none, until a reload: too many died.
    GivenUp,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Waiting => "waiting",
            Self::GivenUp => "given up",
        })
    }
}
