//! A supervisor that is stopped for a while, as with its container, and goes on.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use super::harness::*;

const SILENT: &str = "no WATCHDOG=1";

/// Of the supervisor that is started here.
const WATCHDOG: Duration = SECOND;

/// A process that runs a supervisor of four workers, and what it said.
struct Other {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: Vec<String>,
    directory: TempDir,
}

impl Other {
    /// Its workers give signs of life.
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
            said: Vec::new(),
            directory,
        }
    }

    async fn says(&mut self, part: &str) {
        self.says_times(part, 1).await;
    }

    async fn says_times(&mut self, part: &str, times: usize) {
        let heard = async {
            while self.count(part) < times {
                let line = self.lines.next_line().await.unwrap();
                self.said.push(line.expect("it goes on"));
            }
        };
        let heard = timeout(PATIENCE, heard).await;
        assert!(heard.is_ok(), "no {part:?} in {:#?}", self.said);
    }

    fn count(&self, part: &str) -> usize {
        self.said.iter().filter(|it| it.contains(part)).count()
    }

    fn workers(&self) -> Vec<u32> {
        let all = self.said.iter();
        let pids = all.filter_map(|it| it.strip_prefix("worker "));
        pids.map(|pid| pid.parse().unwrap()).collect()
    }

    fn pid(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// The pause is longer than a worker may be silent.
    async fn is_paused_with(&self, workers: &[u32]) {
        let send = |signal| {
            let all = std::iter::once(self.pid()).chain(workers.iter().copied());
            all.for_each(|pid| kill(pid, signal));
        };
        send(Signal::STOP);
        sleep(2 * WATCHDOG).await;
        send(Signal::CONT);
    }

    /// Only this worker was silent for too long, of all that were watched until now.
    async fn only_misses(&mut self, worker: u32) {
        kill(worker, Signal::STOP);
        self.says(SILENT).await;
        let silent = self.said.iter().find(|it| it.contains(SILENT)).unwrap();
        assert!(silent.contains(&format!("(pid {worker})")), "{silent}");
        self.says_times("restarts in", 1).await;
        let started = self.count("restarts in");
        assert_eq!((self.count(SILENT), started), (1, 1), "{:#?}", self.said);
    }
}

#[tokio::test]
async fn a_supervisor_that_was_paused_kills_no_worker_that_is_alive() {
    let mut other = Other::start(&["lively=50", "ready", "hang"]);
    other.says("all workers are ready").await;

    other.is_paused_with(&[]).await;

    other.says("was paused").await;
    other.only_misses(other.workers()[3]).await;
}

#[tokio::test]
async fn workers_that_were_paused_with_their_supervisor_live_on() {
    let mut other = Other::start(&["lively=50", "ready", "hang"]);
    other.says("all workers are ready").await;

    other.is_paused_with(&other.workers()).await;

    other.says("was paused").await;
    other.only_misses(other.workers()[0]).await;
}

/// As those do who clean temporary directories.
#[tokio::test]
async fn workers_whose_sockets_were_removed_are_not_taken_for_silent() {
    let mut other = Other::start(&["lively=50", "ready", "hang"]);
    other.says("all workers are ready").await;

    let runtime = other.directory.path().join("run");
    std::fs::remove_dir_all(&runtime).unwrap();
    let has_sockets = || {
        let homes = std::fs::read_dir(&runtime).into_iter().flatten().flatten();
        let mut all = homes.filter_map(|home| std::fs::read_dir(home.path()).ok());
        all.any(|home| home.count() > 4)
    };
    eventually("the sockets are made again", has_sockets).await;

    other.only_misses(other.workers()[2]).await;
}

#[tokio::test]
async fn several_pauses_one_after_another_kill_nobody() {
    let mut other = Other::start(&["lively=50", "ready", "hang"]);
    other.says("all workers are ready").await;

    for pauses in 1..=2 {
        other.is_paused_with(&other.workers()).await;
        other.says_times("was paused", pauses).await;
    }

    other.only_misses(other.workers()[1]).await;
}
