//! What can go wrong, one enum for each verb.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::exit::Exit;
use crate::shown::Shown;

/// Why a supervisor does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There are as many workers as asked for, between 1 and 1,024.
    #[error("{0} workers: there can be 1 to {most}", most = crate::fleet::MOST)]
    WorkerCount(usize),
    /// A program that anybody can write, or that is not there.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A socket cannot be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which one.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// There is no such user or group, or this process may not become it.
    #[error("the user `{user}`: {why}")]
    User {
        /// Who.
        user: String,
        /// Why.
        why: String,
    },
    /// A supervisor of this name runs already.
    #[error("a supervisor named `{name}` runs already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// A name is part of a path.
    #[error("`{0}` is no name: 1 to 64 letters, digits, `.`, `_` or `-`, not beginning with `.`")]
    InvalidName(String),
    /// The directory for sockets cannot be used.
    #[error("the directory {}: {why}", path.display())]
    RuntimeDir {
        /// Which one.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The system refuses something else.
    #[error("{doing}")]
    Io {
        /// What this was about.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Why a program is not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// There is none.
    #[error("there is no program `{}`", .0.display())]
    NotFound(PathBuf),
    /// It cannot be looked at.
    #[error("cannot look at {}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a directory, or nobody may run it.
    #[error("{} is no program that can be run", .0.display())]
    NotExecutable(PathBuf),
    /// Anybody on this machine could put something else there.
    #[error("{} can be written by everybody: take that away with `chmod o-w`", .0.display())]
    WorldWritable(PathBuf),
}

/// Why a reload did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// A successor ended before its elder was replaced.
    #[error("the new worker {slot} {exit}; {}{}", wrote(last_lines), kept(*replaced))]
    Exited {
        /// Its slot.
        slot: usize,
        /// How it ended.
        exit: Exit,
        /// What it wrote last.
        last_lines: Vec<String>,
        /// How many workers had been replaced before; they are not taken back.
        replaced: usize,
    },
    /// A successor was not ready in time.
    #[error(
        "the new worker {slot} was not ready within {timeout:.1?}; {}{}",
        wrote(last_lines),
        kept(*replaced)
    )]
    NotReady {
        /// Its slot.
        slot: usize,
        /// How long it was waited for.
        timeout: Duration,
        /// What it wrote last.
        last_lines: Vec<String>,
        /// How many workers had been replaced before; they are not taken back.
        replaced: usize,
    },
    /// The supervisor ends.
    #[error("the supervisor ends")]
    Stopping,
}

/// All of them: the last line of a panic says only how to see more of it.
fn wrote(last_lines: &[String]) -> String {
    if last_lines.is_empty() {
        return String::new();
    }
    let lines = last_lines
        .iter()
        .map(|line| format!("    {}\n", Shown(line)));
    format!("its last output:\n{}", lines.collect::<String>())
}

fn kept(replaced: usize) -> String {
    match replaced {
        0 => "the old workers keep running".to_owned(),
        1 => "one worker had been replaced, the other old ones keep running".to_owned(),
        replaced => {
            format!("{replaced} workers had been replaced, the other old ones keep running")
        }
    }
}

/// Why the number of workers is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScaleError {
    /// There are as many workers as asked for, between 1 and 1,024.
    #[error("{0} workers: there can be 1 to {most}", most = crate::fleet::MOST)]
    WorkerCount(usize),
    /// The supervisor ends.
    #[error("the supervisor ends")]
    Stopping,
}

/// Why a text is no address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {why}")]
pub struct ParseListenAddressError {
    pub(crate) text: String,
    pub(crate) why: String,
}
