//! The part of one process in a run of `state`.

use clap::ValueEnum;

/// The arguments of a process.
#[derive(clap::Args, Debug)]
pub(crate) struct StateWork {
    pub(super) task: Task,
    pub(super) url: String,
    /// The work, in JSON.
    pub(super) work: String,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(super) enum Task {
    /// Changes a value that other processes change too.
    Change,
    /// Watches a value, or subscribes to an event.
    Watch,
    /// Runs idle members.
    Members,
}

impl Task {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Watch => "watch",
            Self::Members => "members",
        }
    }
}
