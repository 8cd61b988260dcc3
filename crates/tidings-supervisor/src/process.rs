//! A child process: signals to it and its group, and its exit.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Child;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, kill_process_group, waitid,
};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use crate::exit::Exit;

/// A child that only this value reaps. Until then the system gives its process id, and that of its
/// group, to no other process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) child: Child,
    /// `None` once it is reaped.
    pid: Option<Pid>,
    /// Reaches no other process, even if another part of this program has reaped the child.
    #[cfg(target_os = "linux")]
    pidfd: Option<OwnedFd>,
}

impl Process {
    pub(crate) fn new(child: Child) -> Self {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Self {
            child,
            pid,
            #[cfg(target_os = "linux")]
            pidfd: pid.and_then(|pid| {
                let flags = rustix::process::PidfdFlags::empty();
                // Before Linux 5.3 there is none, and the process id is used.
                rustix::process::pidfd_open(pid, flags).ok()
            }),
        }
    }

    /// Kills the process and its group.
    pub(crate) fn kill(&self) {
        self.send(Signal::KILL);
        self.kill_group();
    }

    /// Sends a signal. It is no error if the process is dead.
    pub(crate) fn send(&self, signal: Signal) {
        #[cfg(target_os = "linux")]
        if let Some(pidfd) = &self.pidfd {
            let _ = rustix::process::pidfd_send_signal(pidfd, signal);
            return;
        }
        if let Some(pid) = self.pid {
            let _ = kill_process(pid, signal);
        }
    }

    fn kill_group(&self) {
        // If another part of the program has reaped it, its id may belong to another group now.
        if let Some(pid) = self.pid
            && self.poll_exit().is_ok()
        {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    fn is_dead(&self) -> bool {
        !matches!(self.poll_exit(), Ok(None))
    }

    /// Returns the exit, if there was one, without reaping the process. Fails if another part of the
    /// program has reaped it.
    fn poll_exit(&self) -> rustix::io::Result<Option<WaitIdStatus>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        #[cfg(target_os = "linux")]
        if let Some(pidfd) = &self.pidfd {
            return waitid(WaitId::PidFd(pidfd.as_fd()), options);
        }
        let pid = self.pid.ok_or(rustix::io::Errno::CHILD)?;
        waitid(WaitId::Pid(pid), options)
    }

    /// Kills what is left of its group, then reaps it: afterwards another process may get its id.
    pub(crate) fn reap(&mut self) -> io::Result<Exit> {
        if self.poll_exit().is_err() {
            self.pid = None;
            return Ok(Exit::Unknown);
        }
        self.kill_group();
        self.pid = None;
        Ok(Exit::of(self.child.wait()?))
    }
}

impl Drop for Process {
    /// Kills and reaps a process whose task was cancelled.
    fn drop(&mut self) {
        if self.pid.is_some() && self.poll_exit().is_ok() {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

/// Waits for the death of a process, on every system.
pub(crate) struct DeathWatch {
    sigchld: Signals,
}

impl DeathWatch {
    /// Begins to watch. No death after this call is missed.
    pub(crate) fn start() -> io::Result<Self> {
        let sigchld = signal(SignalKind::child())?;
        Ok(Self { sigchld })
    }

    pub(crate) async fn wait_for(&mut self, process: &Process) {
        while !process.is_dead() {
            self.sigchld.recv().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn the_exit_of_a_child_that_other_code_reaped_is_unknown() {
        let child = Command::new("true").stdout(Stdio::null()).spawn().unwrap();
        let mut process = Process::new(child);
        waitid(WaitId::Pid(process.pid.unwrap()), WaitIdOptions::EXITED).unwrap();

        assert!(process.is_dead());
        assert_eq!(process.reap().unwrap(), Exit::Unknown);
    }
}
