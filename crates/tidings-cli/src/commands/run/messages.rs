//! The messages of `tidings run` itself.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use tidings_supervisor::{ListenAddress, Status, Stopped};

use crate::commands::supervisor_help;
use crate::terminal::{Style, count, escape, paint, workers};

/// A message of `tidings run`. Its `Display` is a line of text; in JSON, `event` is its name.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Message {
    NameTaken {
        wanted: String,
        name: String,
    },
    Running(Running),
    /// A watched path changed.
    Changed {
        path: PathBuf,
    },
    /// The user pressed Ctrl-C.
    Interrupted,
    /// A worker did not report that it is ready.
    NotReady,
    Warning {
        text: String,
    },
    /// The error that `tidings run` ends with, and how to fix it.
    Error {
        text: String,
        help: Option<String>,
    },
    Stopped(Stopped),
    /// Messages were dropped here, because the reader was too slow.
    MessagesDropped {
        messages: u64,
    },
}

#[derive(Debug, Serialize)]
pub(super) struct Running {
    name: String,
    pid: u32,
    workers: usize,
    listen: Vec<String>,
}

impl Running {
    /// Returns the message as several lines for a terminal.
    pub(super) fn pretty(&self) -> String {
        let name = paint(Style::Heading, &self.name);
        let about = format!("{}, pid {}", workers(self.workers), self.pid);
        let mut lines = vec![format!("{name}  {about}")];
        let addresses = self.listen.iter();
        lines.extend(addresses.map(|it| format!("  listening on {}", paint(Style::Heading, it))));
        let reload = format!("tidings reload {}", self.name);
        let width = reload.len();
        for (command, effect) in [
            (
                &*reload,
                "replaces all workers without a refused connection",
            ),
            ("Ctrl-C", "stops; workers finish their work first"),
        ] {
            let effect = paint(Style::Dim, effect);
            lines.push(format!("  {command:width$}  {effect}"));
        }
        lines.join("\n")
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, pid, .. } = self;
        write!(f, "{name}: {} (pid {pid})", workers(self.workers))?;
        if !self.listen.is_empty() {
            write!(f, ", listening on {}", self.listen.join(", "))?;
        }
        write!(f, "; reload with `tidings reload {name}`")
    }
}

impl Message {
    pub(super) fn error(error: &anyhow::Error) -> Self {
        let (text, help) = (format!("{error:#}"), supervisor_help(error));
        Self::Error { text, help }
    }

    pub(super) fn running(status: &Status, addresses: &[ListenAddress]) -> Self {
        Self::Running(Running {
            name: status.name.clone(),
            pid: status.pid,
            workers: status.slots,
            listen: addresses.iter().map(ToString::to_string).collect(),
        })
    }

    pub(super) fn style(&self) -> Style {
        match self {
            Self::NameTaken { .. } | Self::Warning { .. } | Self::MessagesDropped { .. } => {
                Style::Warning
            }
            Self::Running(_) => Style::Plain,
            Self::Changed { .. } | Self::Interrupted | Self::NotReady => Style::Dim,
            Self::Stopped(stopped) if stopped.is_clean() => Style::Success,
            Self::Stopped(_) | Self::Error { .. } => Style::Error,
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTaken { wanted, name } => {
                write!(f, "the name {wanted} is taken: using {name}")
            }
            Self::Interrupted => {
                f.write_str("workers finish their work; press Ctrl-C again to kill them")
            }
            Self::NotReady => f.write_str(
                "help: if the program cannot report that it is ready, use `--ready-after 2s`",
            ),
            Self::Warning { text } | Self::Error { text, .. } => f.write_str(text),
            Self::MessagesDropped { messages } => {
                let messages = count(*messages, "message");
                write!(f, "dropped {messages}: the reader is too slow")
            }
            Self::Running(running) => running.fmt(f),
            Self::Changed { path } => write!(f, "{} changed", escape(path.display())),
            Self::Stopped(Stopped {
                all_failed: true, ..
            }) => f.write_str("stopped: all slots failed"),
            Self::Stopped(Stopped { killed: 0, .. }) => {
                f.write_str("stopped: all workers stopped in time")
            }
            Self::Stopped(Stopped { killed, .. }) => {
                write!(f, "stopped: {} had to be killed", workers(*killed))
            }
        }
    }
}
