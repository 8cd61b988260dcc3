//! Another process of this program of tests, which a test can stop and kill.

use std::env;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread;

#[cfg(target_os = "linux")]
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::fleet::Fleet;

/// Returns the command that runs an ignored test in a process of its own.
pub(crate) fn of_this_program(fleet: &Fleet, test: &str) -> Command {
    let program = env::current_exe().unwrap();
    let mut command = fleet.command_of(program.to_str().unwrap());
    command
        .args([test, "--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::piped());
    command
}

/// Ends this process when the one that started it has ended, also if this one is stopped (on Linux).
pub(crate) fn end_with_parent() {
    #[cfg(target_os = "linux")]
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
}
