//! The processes of a run: each prints lines, and ends with its parent.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// The time in which a process must print the next line.
const DEADLINE: Duration = Duration::from_mins(2);

/// A process of a run.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    what: String,
}

/// The command line that starts the processes of one peer, without the role.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program(pub(crate) Vec<OsString>);

impl Program {
    /// Starts a process in a role: `receive`, `send` or `state-process`.
    pub(crate) fn start(&self, words: [&str; 4]) -> anyhow::Result<Process> {
        let (program, first) = self.0.split_first().context("a program has a name")?;
        let mut child = Command::new(program)
            .args(first)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // An error is one line; a backtrace would not help the person who measures.
            .env("RUST_BACKTRACE", "0")
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        Ok(Process {
            child,
            lines: BufReader::new(stdout).lines(),
            what: words[..2].join(" "),
        })
    }
}

/// Ends this process when its parent ends, even if the parent is killed. On other systems than
/// Linux it ends when its server does.
#[cfg(target_os = "linux")]
pub(crate) fn end_with_parent() -> anyhow::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(
        Signal::KILL,
    ))?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn end_with_parent() -> anyhow::Result<()> {
    Ok(())
}

/// Prints the line that says that this process is ready.
#[expect(clippy::print_stdout, reason = "the parent waits for this line")]
pub(crate) fn print_ready() {
    println!("ready");
}

/// Prints the result line of this process.
#[expect(clippy::print_stdout, reason = "the parent reads this line")]
pub(crate) fn print_result(result: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(result)?);
    Ok(())
}

impl Process {
    /// Waits for the line `ready`.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        let line = self.line().await?;
        if line != "ready" {
            bail!("`{}` prints `{line}` instead of `ready`", self.what);
        }
        Ok(())
    }

    /// Waits for the result, then ends the process.
    pub(crate) async fn result<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let line = self.line().await?;
        let result = serde_json::from_str(&line);
        let result = result.with_context(|| format!("`{}` prints `{line}`", self.what))?;
        self.end().await?;
        Ok(result)
    }

    /// Kills the process.
    pub(crate) async fn end(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Freezes the process (`STOP`) or resumes it (`CONT`).
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(kill_process(id.context("the process has ended")?, signal)?)
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let line = timeout(DEADLINE, self.lines.next_line()).await;
        let line = line.with_context(|| format!("`{}` prints nothing", self.what))??;
        line.with_context(|| format!("`{}` ended without a result", self.what))
    }
}
