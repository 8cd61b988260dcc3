//! A supervisor that is paused for a while, as with its container.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use super::harness::*;

const WATCHDOG_TIMEOUT: &str = "no WATCHDOG=1";

/// The watchdog timeout of the supervisor.
const WATCHDOG: Duration = SECOND;

/// A process that runs a supervisor of four workers, and its output.
struct Other {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    output: Vec<String>,
    directory: TempDir,
}

impl Other {
    /// Starts it with a watchdog.
    fn start(steps: &[&str]) -> Self {
        let directory = short_directory();
        let supervise = format!("supervise={}", directory.path().join("run").display());
        let watchdog = format!("watchdog={}", WATCHDOG.as_millis());
        let mut process = Command::new(misbehaving())
            .args([&supervise, &watchdog])
            .args(steps)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            lines: BufReader::new(process.stdout.take().unwrap()).lines(),
            process,
            output: Vec::new(),
            directory,
        }
    }

    async fn wait_for(&mut self, part: &str) {
        self.wait_for_times(part, 1).await;
    }

    async fn wait_for_times(&mut self, part: &str, times: usize) {
        let found = async {
            while self.count(part) < times {
                let line = self.lines.next_line().await.unwrap();
                self.output.push(line.expect("the supervisor is running"));
            }
        };
        let found = timeout(DEADLINE, found).await;
        assert!(found.is_ok(), "no {part:?} in {:#?}", self.output);
    }

    fn count(&self, part: &str) -> usize {
        self.output.iter().filter(|it| it.contains(part)).count()
    }

    fn workers(&self) -> Vec<u32> {
        let all = self.output.iter();
        let pids = all.filter_map(|it| it.strip_prefix("worker "));
        pids.map(|pid| pid.parse().unwrap()).collect()
    }

    fn pid(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// Pauses it for longer than the watchdog timeout.
    async fn pause_with(&self, workers: &[u32]) {
        let send = |signal| {
            let all = std::iter::once(self.pid()).chain(workers.iter().copied());
            all.for_each(|pid| kill(pid, signal));
        };
        send(Signal::STOP);
        sleep(2 * WATCHDOG).await;
        send(Signal::CONT);
    }

    /// Freezes a worker, and checks that the watchdog expires only for this one.
    async fn check_watchdog(&mut self, worker: u32) {
        kill(worker, Signal::STOP);
        self.wait_for(WATCHDOG_TIMEOUT).await;
        let killed = self
            .output
            .iter()
            .find(|it| it.contains(WATCHDOG_TIMEOUT))
            .unwrap();
        assert!(killed.contains(&format!("(pid {worker})")), "{killed}");
        self.wait_for_times("restarts in", 1).await;
        let started = self.count("restarts in");
        assert_eq!(
            (self.count(WATCHDOG_TIMEOUT), started),
            (1, 1),
            "{:#?}",
            self.output
        );
    }
}

#[tokio::test]
async fn a_supervisor_that_was_paused_kills_no_worker_that_is_alive() {
    let mut other = Other::start(&["send-watchdog=50", "ready", "hang"]);
    other.wait_for("all workers are ready").await;

    other.pause_with(&[]).await;

    other.wait_for("was paused").await;
    other.check_watchdog(other.workers()[3]).await;
}

#[tokio::test]
async fn workers_that_were_paused_with_their_supervisor_live_on() {
    let mut other = Other::start(&["send-watchdog=50", "ready", "hang"]);
    other.wait_for("all workers are ready").await;

    other.pause_with(&other.workers()).await;

    other.wait_for("was paused").await;
    other.check_watchdog(other.workers()[0]).await;
}

#[tokio::test]
async fn workers_whose_sockets_were_removed_are_not_taken_for_hung() {
    let mut other = Other::start(&["send-watchdog=50", "ready", "hang"]);
    other.wait_for("all workers are ready").await;

    let runtime = other.directory.path().join("run");
    std::fs::remove_dir_all(&runtime).unwrap();
    let has_sockets = || {
        let directories = std::fs::read_dir(&runtime).into_iter().flatten().flatten();
        let mut all = directories.filter_map(|it| std::fs::read_dir(it.path()).ok());
        all.any(|it| it.count() > 4)
    };
    eventually("the sockets are open again", has_sockets).await;

    other.check_watchdog(other.workers()[2]).await;
}

#[tokio::test]
async fn repeated_pauses_kill_no_worker() {
    let mut other = Other::start(&["send-watchdog=50", "ready", "hang"]);
    other.wait_for("all workers are ready").await;

    for pauses in 1..=2 {
        other.pause_with(&other.workers()).await;
        other.wait_for_times("was paused", pauses).await;
    }

    other.check_watchdog(other.workers()[1]).await;
}
