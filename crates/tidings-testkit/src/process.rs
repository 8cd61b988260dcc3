//! A redis-server process that cannot outlive the test that started it.
//!
//! `Drop` covers a test that returns or panics, but not one that is killed. So a small shell script
//! starts the server, and watches a pipe that only the test holds open.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// The exit code of the shell for a missing program.
pub(crate) const PROGRAM_NOT_FOUND: i32 = 127;

#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    watchdog: Child,
    /// Held open as long as the server must live.
    lifeline: ChildStdin,
}

impl Process {
    /// Starts a redis-server with its configuration file and these options. Its output goes to
    /// `log`. `directory` is removed if this process dies without a `Drop`.
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
            // A Ctrl-C or a test runner's signal to the whole group must not end the watchdog and
            // leave a stopped server behind.
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

    /// Returns the exit status of the server, if it has ended.
    pub(crate) fn exit_status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.watchdog.try_wait()
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(self.pid, signal)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the server and its watchdog have ended already.
        let _ = self.lifeline.write_all(b"kill\n");
        let _ = self.watchdog.wait();
    }
}
