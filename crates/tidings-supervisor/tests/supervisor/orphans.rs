//! Nobody and nothing is left over.

use std::process::Stdio;

use rustix::process::Signal;
use tidings_supervisor::{ReloadStrategy, StartError, SupervisorEvent};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::harness::*;

/// A process that runs a supervisor of four.
struct Other {
    process: Child,
    workers: Vec<u32>,
    _directory: tempfile::TempDir,
}

impl Other {
    async fn start(steps: &[&str]) -> Self {
        let directory = short_directory();
        let supervise = format!("supervise={}", directory.path().join("run").display());
        let mut process = Command::new(misbehaving())
            .arg(supervise)
            .args(steps)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (mut workers, mut is_ready) = (Vec::new(), false);
        let ready = async {
            while workers.len() < 4 || !is_ready {
                let line = lines.next_line().await.unwrap().unwrap();
                is_ready |= line == "ready";
                workers.extend(
                    line.strip_prefix("worker ")
                        .map(|pid| pid.parse::<u32>().unwrap()),
                );
            }
        };
        timeout(PATIENCE, ready).await.unwrap();
        Self {
            process,
            workers,
            _directory: directory,
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_worker_outlives_a_supervisor_that_is_killed() {
    for _ in 0..10 {
        let mut other = Other::start(&["deaf", "ready", "hang"]).await;
        assert!(other.workers.iter().all(|pid| runs(*pid)));
        kill(other.process.id().unwrap(), Signal::KILL);
        all_gone(&other.workers).await;
        other.process.wait().await.unwrap();
    }
}

#[tokio::test]
async fn without_anybody_who_holds_them_workers_are_killed() {
    let trial = workers_that(&["deaf", "ready", "hang"])
        .workers(3)
        .ready()
        .await;
    let pids = trial.pids().await;
    let Trial {
        workers, events, ..
    } = trial;
    let other = workers.clone();
    drop(workers);
    assert!(other.status().await.is_some());
    drop(other);
    all_gone(&pids).await;
    let exited = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Exited { .. });
    events.times(3, exited).await;
}

#[test]
fn with_its_runtime_a_supervisor_ends_at_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let trial = runtime.block_on(
        workers_that(&["deaf", "child", "ready", "hang"])
            .workers(3)
            .ready(),
    );
    let pids = runtime.block_on(trial.pids());
    drop(runtime);
    assert!(pids.iter().all(|pid| !runs(*pid)));
    let name = tokio::runtime::Runtime::new().unwrap();
    let stopped = name.block_on(trial.workers.stop());
    assert!(!stopped.is_clean());
}

#[test]
fn a_runtime_that_ends_while_workers_start_leaves_none() {
    if !is_alone("orphans::a_runtime_that_ends_while_workers_start_leaves_none") {
        return;
    }
    for _ in 0..20 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let trial = runtime.block_on(workers_that(&["deaf", "ready", "hang"]).workers(4).start());
        drop(runtime);
        let waiting = tokio::runtime::Runtime::new().unwrap();
        waiting.block_on(eventually("no child is left", || children().is_empty()));
        drop(trial);
    }
}

/// Of this process, dead ones that nobody reaped included.
#[cfg(target_os = "linux")]
fn children() -> Vec<String> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let lists =
        threads.filter_map(|it| std::fs::read_to_string(it.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn children() -> Vec<String> {
    Vec::new()
}

#[tokio::test]
async fn a_name_and_a_port_are_free_again_at_once() {
    if !is_alone("orphans::a_name_and_a_port_are_free_again_at_once") {
        return;
    }
    let directory = short_directory();
    let socket = directory.path().join("socket");
    let mut at = "127.0.0.1:0".to_owned();
    for _ in 0..20 {
        let plan = || {
            workers_that(&["ready", "wait"]).with(|it| {
                it.name("web")
                    .runtime_dir(directory.path().join("run"))
                    .listen(at.parse().unwrap())
                    .listen(tidings_supervisor::ListenAddress::unix(&socket))
            })
        };
        let trial = plan().ready().await;
        let second = plan()
            .with(|it| it.listen(local("other")))
            .supervisor()
            .start()
            .await;
        assert!(matches!(second, Err(StartError::NameTaken { .. })));
        at = trial.workers.addresses()[0].to_string();
        assert!(trial.workers.stop().await.is_clean());
        assert!(!socket.exists());
    }
    let left = std::fs::read_dir(directory.path().join("run")).unwrap();
    assert_eq!(left.count(), 0);
}

/// What this process holds.
#[cfg(target_os = "linux")]
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    descriptors: usize,
    threads: usize,
    children: usize,
}

#[cfg(target_os = "linux")]
impl Holdings {
    fn now() -> Self {
        let count = |path| std::fs::read_dir(path).map_or(0, Iterator::count);
        Self {
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            children: children().len(),
        }
    }

    async fn are_back(&self) {
        let no_more = || {
            let now = Self::now();
            now.descriptors <= self.descriptors
                && now.threads <= self.threads
                && now.children <= self.children
        };
        let what = format!("no more than {self:?}");
        eventually(&what, no_more).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn fifty_reloads_leave_nothing_open() {
    if !is_alone("orphans::fifty_reloads_leave_nothing_open") {
        return;
    }
    let trial = workers_that(&["ready", "wait"])
        .workers(2)
        .listening()
        .ready()
        .await;
    // The first one has threads started that stay, for blocking work.
    trial
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    let exited = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Exited { .. });
    trial.events.times(2, exited).await;
    let before = Holdings::now();
    for _ in 0..50 {
        trial
            .workers
            .reload(ReloadStrategy::AllAtOnce)
            .await
            .unwrap();
    }
    trial.events.times(102, exited).await;
    before.are_back().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn thirty_deaths_leave_nothing_open() {
    if !is_alone("orphans::thirty_deaths_leave_nothing_open") {
        return;
    }
    let trial = workers_that(&["child", "ready", "wait"])
        .workers(2)
        .listening()
        .ready()
        .await;
    let before = Holdings::now();
    let is_ready = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Ready { .. });
    for death in 0..30 {
        let signal = [Signal::KILL, Signal::TERM, Signal::ABORT][death % 3];
        kill(trial.pids().await[death % 2], signal);
        trial.events.times(2 + death + 1, is_ready).await;
    }
    trial.is_ready().await;
    before.are_back().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_supervisor_that_ended_leaves_nothing_open() {
    if !is_alone("orphans::a_supervisor_that_ended_leaves_nothing_open") {
        return;
    }
    let once = || async {
        let trial = workers_that(&["ready", "wait"])
            .workers(2)
            .listening()
            .ready()
            .await;
        trial.workers.stop().await;
    };
    once().await;
    let before = Holdings::now();
    for _ in 0..10 {
        once().await;
    }
    before.are_back().await;
}
