//! A redis-server process that cannot outlive the test that started it.
//!
//! `Drop` covers a test that returns or panics, but not one that is killed.
//! So a small shell script stands between the two and watches a pipe that only
//! the test holds open.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// What the shell answers when it finds no such program.
pub(crate) const PROGRAM_NOT_FOUND: i32 = 127;

#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    watchdog: Child,
    /// Held open for as long as the server shall live.
    lifeline: ChildStdin,
}

impl Process {
    /// Starts a redis-server with its configuration file and what follows it. All
    /// that it prints goes to `log`; `directory` is removed if this process dies
    /// without a `Drop`.
    pub(crate) fn start(
        program: &Path,
        directory: &Path,
        configuration: &Path,
        options: &[&str],
        log: File,
    ) -> io::Result<Self> {
        let mut watchdog = Command::new("/bin/sh")
            .args(["-c", include_str!("watchdog.sh"), "watchdog"])
            .args([program, directory, configuration])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // A Ctrl-C or a test runner's signal to the whole group must not
            // take the watchdog and leave a stopped server behind.
            .process_group(0)
            .spawn()?;
        let lifeline = watchdog.stdin.take().expect("stdin is piped");
        let stdout = watchdog.stdout.take().expect("stdout is piped");

        let mut first_line = String::new();
        BufReader::new(stdout).read_line(&mut first_line)?;
        let pid = first_line.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the watchdog named no process id"))?;

        Ok(Self {
            pid,
            watchdog,
            lifeline,
        })
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// How the server ended, when it has.
    pub(crate) fn exit_status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.watchdog.try_wait()
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(self.pid, signal)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the server and its watchdog are gone already.
        let _ = self.lifeline.write_all(b"kill\n");
        let _ = self.watchdog.wait();
    }
}
