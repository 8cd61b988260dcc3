//! The exit of a worker.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::sys::signal::Signal;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use crate::shown::Shown;

/// The exit of a worker.
///
/// # Examples
///
/// ```
/// use tidings_supervisor::Exit;
///
/// assert_eq!(Exit::Status(1).to_string(), "exited with status 1");
/// assert_eq!(Exit::Signal(9).to_string(), "killed by SIGKILL");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Exit {
    /// It exited with this status.
    Status(i32),
    /// It was killed by this signal.
    Signal(i32),
    /// It could not be started, for this reason.
    NotStarted(String),
    /// Another part of the supervisor's program reaped it and has its exit status.
    Unknown,
    /// It was not ready within the ready timeout, and was told to stop.
    NotReady,
    /// An exit unknown to this version.
    #[serde(untagged, deserialize_with = "anything")]
    Other,
}

fn anything<'de, D: Deserializer<'de>>(from: D) -> Result<(), D::Error> {
    IgnoredAny::deserialize(from).map(drop)
}

impl Exit {
    pub(crate) fn of(status: ExitStatus) -> Self {
        match status.code() {
            Some(code) => Self::Status(code),
            None => Self::Signal(status.signal().unwrap_or_default()),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exited with status {status}"),
            Self::Signal(number) => match name(*number) {
                Some(name) => write!(f, "killed by {name}"),
                None => write!(f, "killed by signal {number}"),
            },
            Self::Other => f.write_str("exited in a way unknown to this version"),
            Self::NotStarted(why) => write!(f, "cannot start: {}", Shown(why)),
            Self::Unknown => {
                f.write_str("exited with an unknown status: another part of this program reaped it")
            }
            Self::NotReady => f.write_str("not ready in time"),
        }
    }
}

fn name(signal: i32) -> Option<&'static str> {
    Signal::try_from(signal).ok().map(Signal::as_str)
}
