//! Errors.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::exit::Exit;
use crate::shown::LastOutput;

/// An error that prevents the start of a supervisor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The number of workers is not between 1 and 1,024.
    #[error("cannot run {0} workers: choose 1 to {max}", max = crate::fleet::MAX_WORKERS)]
    WorkerCount(usize),
    /// The program is missing, or cannot be used.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A [variable](crate::Supervisor::env) is reserved for the supervisor.
    #[error("cannot set the variable `{0}` of the workers: it is reserved for the supervisor")]
    ReservedVariable(String),
    /// A socket cannot be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// The cause.
        source: io::Error,
    },
    /// There is no such user or group, or this process cannot switch to it.
    #[error("cannot run workers as user `{user}`: {why}")]
    User {
        /// The user.
        user: String,
        /// The reason.
        why: String,
    },
    /// A supervisor of this name is already running.
    #[error("a supervisor named `{name}` is already running")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The name cannot be used in a path.
    #[error(
        "invalid name `{0}`: use 1 to 64 letters, digits, `.`, `_` or `-`, and do not begin with `.`"
    )]
    InvalidName(String),
    /// The runtime directory cannot be used.
    #[error("cannot use the runtime directory {}: {why}", path.display())]
    RuntimeDir {
        /// The path.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// Another operation of the system failed.
    #[error("cannot {doing}")]
    Io {
        /// The operation, to be read after "cannot".
        doing: &'static str,
        /// The cause.
        source: io::Error,
    },
}

/// An error of the program that workers run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// The program does not exist.
    #[error("program `{}` not found", .0.display())]
    NotFound(PathBuf),
    /// A file or directory of its path cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Workers cannot have this [working directory](crate::Supervisor::current_dir).
    #[error("cannot work in the directory {}", path.display())]
    WorkingDirectory {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It is not an executable file.
    #[error("{} is not an executable file", .0.display())]
    NotExecutable(PathBuf),
    /// All users of this machine can write this file or directory, and so replace the program.
    #[error("all users can write {path}: run `chmod o-w {path}`", path = .0.display())]
    WorldWritable(PathBuf),
}

/// An error of a reload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// A new worker exited before it replaced the old one.
    #[error("the new worker {slot} {exit}; {}{}", unchanged(*replaced), LastOutput(last_lines))]
    Exited {
        /// The worker's slot.
        slot: usize,
        /// Its exit.
        exit: Exit,
        /// The last lines that it wrote.
        last_lines: Vec<String>,
        /// The number of workers that were replaced before, and stay replaced.
        replaced: usize,
    },
    /// A new worker was not ready in time.
    #[error(
        "the new worker {slot} was not ready within {timeout:.1?}; {}{}",
        unchanged(*replaced),
        LastOutput(last_lines)
    )]
    NotReady {
        /// The worker's slot.
        slot: usize,
        /// The ready timeout.
        timeout: Duration,
        /// The last lines that it wrote.
        last_lines: Vec<String>,
        /// The number of workers that were replaced before, and stay replaced.
        replaced: usize,
    },
    /// The supervisor is stopping.
    #[error("the supervisor is stopping")]
    Stopping,
}

fn unchanged(replaced: usize) -> String {
    match replaced {
        0 => "the old workers keep running".to_owned(),
        1 => "1 worker was replaced before, the other old ones keep running".to_owned(),
        replaced => {
            format!("{replaced} workers were replaced before, the other old ones keep running")
        }
    }
}

/// An error of a change of the number of workers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScaleError {
    /// The number of workers is not between 1 and 1,024.
    #[error("cannot run {0} workers: choose 1 to {max}", max = crate::fleet::MAX_WORKERS)]
    WorkerCount(usize),
    /// The supervisor is stopping.
    #[error("the supervisor is stopping")]
    Stopping,
}

/// An error of parsing a [`ListenAddress`](crate::ListenAddress).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid address `{text}`: {why}")]
pub struct ParseListenAddressError {
    pub(crate) text: String,
    pub(crate) why: String,
}
