//! Runs `tidings` in a sandbox, and reads its output.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

#[path = "../../../tidings-supervisor/tests/supervisor/directory.rs"]
mod directory;

use self::directory::short_directory;

/// The timeout of all waits.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// Variables that have an effect on `tidings`.
const FOREIGN_VARIABLES: [&str; 9] = [
    "NOTIFY_SOCKET",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "XDG_CONFIG_HOME",
    "TIDINGS_URL",
    "TIDINGS_CONTEXT",
    "TIDINGS_NAMESPACE",
    "TIDINGS_PASSWORD_FILE",
];

/// Prints its process id, and keeps running.
pub(crate) const STAYS: [&str; 3] = ["sh", "-c", "echo up $$; exec sleep 1000"];

/// Ignores SIGTERM.
pub(crate) const STUBBORN: [&str; 3] = [
    "sh",
    "-c",
    "trap '' TERM; echo up $$; while :; do sleep 0.1; done",
];

/// Takes 1.5 s to stop.
pub(crate) const DRAINS: [&str; 3] = [
    "sh",
    "-c",
    "trap 'sleep 1.5; echo drained; exit 0' TERM; echo up $$; while :; do sleep 0.05; done",
];

/// A runtime directory for one test.
pub(crate) struct Sandbox {
    pub(crate) directory: TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let directory = short_directory();
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn command(&self) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_tidings"))
    }

    /// Any program, with the environment of `tidings`.
    pub(crate) fn command_of(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("TIDINGS_RUNTIME_DIR", self.path("runtime"))
            .env("HOME", self.directory.path())
            .stdin(Stdio::null());
        // The environment of the tests must not have an effect.
        for variable in FOREIGN_VARIABLES {
            command.env_remove(variable);
        }
        command
    }

    /// Starts `tidings run` with workers that are ready after 100 ms.
    pub(crate) fn run(&self, options: &[&str], program: &[&str]) -> Running {
        let mut command = self.command();
        let options = options.iter().chain(&["--"]).chain(program);
        Running::start(
            command
                .args(["run", "--ready-after", "100ms"])
                .args(options),
        )
    }

    /// Starts two workers as `web`, and waits until they are ready.
    pub(crate) fn run_web(&self, options: &[&str]) -> Running {
        let mut all = vec!["--name", "web", "--workers", "2"];
        all.extend(options);
        let running = self.run(&all, &STAYS);
        running.stderr.wait_count("is ready", 2);
        running
    }

    pub(crate) fn tidings(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.tidings(arguments);
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        text(&output.stdout)
    }

    /// Runs `tidings`, and returns its standard error and exit code.
    pub(crate) fn fail(&self, arguments: &[&str]) -> (String, i32) {
        let output = self.tidings(arguments);
        (text(&output.stderr), output.status.code().unwrap())
    }

    /// Creates or replaces a script atomically.
    pub(crate) fn put_program(&self, name: &str, script: &str) -> PathBuf {
        let (text, next, path) = (self.path("text"), self.path("next"), self.path(name));
        fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
        copy(&text, &next);
        fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&next, &path).unwrap();
        path
    }
}

/// Copies a program in another process. A child of this one could inherit the open file, and a file
/// that is open for writing cannot be executed.
pub(crate) fn copy(program: &Path, to: &Path) {
    let copied = Command::new("cp").args([program, to]).status();
    assert!(copied.unwrap().success());
}

/// A running `tidings`, which is killed on drop.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_to(command, Stdio::piped())
    }

    /// Starts a program whose output goes elsewhere.
    pub(crate) fn start_to(command: &mut Command, stdout: Stdio) -> Self {
        let command = command.stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = match child.stdout.take() {
            Some(stdout) => Lines::of(stdout),
            None => Lines::of(std::io::empty()),
        };
        let stderr = Lines::of(child.stderr.take().unwrap());
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Starts a program whose output nobody reads, and waits until it is stuck in a line that is longer
    /// than a pipe takes. Ends it with the signal, and returns its standard error and exit code.
    pub(crate) fn end_while_stuck(command: &mut Command, signal: Signal) -> (String, i32) {
        let (unread, stdout) = io::pipe().unwrap();
        let mut running = Self::start_to(command, stdout.into());
        eventually("tidings writes", || ioctl_fionread(&unread).unwrap() > 0);
        running.signal(signal);
        let code = running.code();
        (running.stderr.wait_for("error"), code)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Repeats the signal until the process ends, and returns its exit code.
    pub(crate) fn code_after_many(&mut self, signal: Signal) -> i32 {
        eventually("tidings ends", || {
            let has_ended = self.has_ended();
            if !has_ended {
                self.signal(signal);
            }
            has_ended
        });
        self.code()
    }

    /// Waits for the end of the process and of its output, and returns its exit code.
    pub(crate) fn code(&mut self) -> i32 {
        self.status().code().unwrap()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn status(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("tidings ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        self.stdout.wait_for_end();
        self.stderr.wait_for_end();
        status.unwrap()
    }

    /// Waits for this many workers, and returns their process ids in the order of their start.
    pub(crate) fn pids(&self, count: usize) -> Vec<Pid> {
        let lines = self.stdout.wait_count("up ", count);
        lines.iter().map(|line| pid(line)).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of an output stream so far.
#[derive(Clone)]
pub(crate) struct Lines(Arc<(Mutex<Received>, Condvar)>);

#[derive(Default)]
struct Received {
    lines: Vec<String>,
    has_ended: bool,
}

impl Lines {
    fn of(from: impl Read + Send + 'static) -> Self {
        let lines = Self(Arc::default());
        let to = Arc::clone(&lines.0);
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                to.0.lock().unwrap().lines.push(line);
                to.1.notify_all();
            }
            to.0.lock().unwrap().has_ended = true;
            to.1.notify_all();
        });
        lines
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap().lines.clone()
    }

    fn wait_for_end(&self) {
        let (received, changed) = &*self.0;
        let is_open = |received: &mut Received| !received.has_ended;
        let waited = changed.wait_timeout_while(received.lock().unwrap(), TIMEOUT, is_open);
        let (received, waited) = waited.unwrap();
        assert!(!waited.timed_out(), "no end of {:#?}", received.lines);
    }

    pub(crate) fn count(&self, part: &str) -> usize {
        let lines = self.all();
        lines.iter().filter(|line| line.contains(part)).count()
    }

    /// Waits for the first line that contains `part`.
    pub(crate) fn wait_for(&self, part: &str) -> String {
        self.wait_count(part, 1).remove(0)
    }

    /// Waits for this many lines that contain `part`, and returns them.
    pub(crate) fn wait_count(&self, part: &str, count: usize) -> Vec<String> {
        let (received, changed) = &*self.0;
        let found = |lines: &[String]| -> Vec<String> {
            let lines = lines.iter().filter(|line| line.contains(part));
            lines.cloned().collect()
        };
        let is_missing = |received: &mut Received| found(&received.lines).len() < count;
        let waited = changed.wait_timeout_while(received.lock().unwrap(), TIMEOUT, is_missing);
        let (received, waited) = waited.unwrap();
        assert!(
            !waited.timed_out(),
            "no {count} times {part:?} in {:#?}",
            received.lines
        );
        found(&received.lines)
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Returns the last number of a line.
pub(crate) fn pid(line: &str) -> Pid {
    let number = line.split(' ').next_back().unwrap();
    Pid::from_raw(number.parse().unwrap()).unwrap()
}

pub(crate) fn lives(pid: Pid) -> bool {
    test_kill_process(pid).is_ok() && !is_dead(pid)
}

/// Returns whether the process is a zombie.
fn is_dead(pid: Pid) -> bool {
    let stat = Path::new("/proc").join(pid.to_string()).join("stat");
    fs::read_to_string(stat).is_ok_and(|stat| stat.contains(") Z "))
}

pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}
