//! No worker, socket or descriptor is left over.

use std::process::Stdio;

use rustix::process::Signal;
use tidings_supervisor::{ReloadStrategy, StartError, SupervisorEvent};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::harness::*;

/// A process that runs a supervisor of four workers.
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
        timeout(DEADLINE, ready).await.unwrap();
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
        let mut other = Other::start(&["ignore-sigterm", "ready", "hang"]).await;
        assert!(other.workers.iter().all(|pid| runs(*pid)));
        kill(other.process.id().unwrap(), Signal::KILL);
        all_gone(&other.workers).await;
        other.process.wait().await.unwrap();
    }
}

#[tokio::test]
async fn workers_are_killed_when_the_last_handle_is_dropped() {
    let supervisor = workers_that(&["ignore-sigterm", "ready", "hang"])
        .workers(3)
        .ready()
        .await;
    let pids = supervisor.pids().await;
    let TestSupervisor {
        workers, events, ..
    } = supervisor;
    let other = workers.clone();
    drop(workers);
    assert!(other.status().await.is_some());
    drop(other);
    all_gone(&pids).await;
    let exited = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Exited { .. });
    events.times(3, exited).await;
}

#[test]
fn workers_are_killed_when_the_runtime_is_dropped() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let supervisor = runtime.block_on(
        workers_that(&["ignore-sigterm", "child", "ready", "hang"])
            .workers(3)
            .ready(),
    );
    let pids = runtime.block_on(supervisor.pids());
    drop(runtime);
    assert!(pids.iter().all(|pid| !runs(*pid)));
    let name = tokio::runtime::Runtime::new().unwrap();
    let stopped = name.block_on(supervisor.workers.stop());
    assert!(!stopped.is_clean());
}

#[test]
fn a_runtime_that_ends_while_workers_start_leaves_none() {
    if !is_alone("orphans::a_runtime_that_ends_while_workers_start_leaves_none") {
        return;
    }
    for _ in 0..20 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let supervisor = runtime.block_on(
            workers_that(&["ignore-sigterm", "ready", "hang"])
                .workers(4)
                .start(),
        );
        drop(runtime);
        let waiting = tokio::runtime::Runtime::new().unwrap();
        waiting.block_on(eventually("no child is left", || children().is_empty()));
        drop(supervisor);
    }
}

/// Returns the children of this process, with those that are not reaped.
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
        let builder = || {
            workers_that(&["ready", "wait"]).with(|it| {
                it.name("web")
                    .runtime_dir(directory.path().join("run"))
                    .listen(at.parse().unwrap())
                    .listen(tidings_supervisor::ListenAddress::unix(&socket))
            })
        };
        let supervisor = builder().ready().await;
        let second = builder()
            .with(|it| it.listen(local("other")))
            .supervisor()
            .start()
            .await;
        assert!(matches!(second, Err(StartError::NameTaken { .. })));
        at = supervisor.workers.addresses()[0].to_string();
        assert!(supervisor.workers.stop().await.is_clean());
        assert!(!socket.exists());
    }
    let left = std::fs::read_dir(directory.path().join("run")).unwrap();
    assert_eq!(left.count(), 0);
}

/// The resources of this process.
#[cfg(target_os = "linux")]
#[derive(Debug, PartialEq, Eq)]
struct Resources {
    descriptors: usize,
    threads: usize,
    children: usize,
}

#[cfg(target_os = "linux")]
impl Resources {
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
    let supervisor = workers_that(&["ready", "wait"])
        .workers(2)
        .listening()
        .ready()
        .await;
    // The first one starts threads for blocking work, which stay.
    supervisor
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    let exited = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Exited { .. });
    supervisor.events.times(2, exited).await;
    let before = Resources::now();
    for _ in 0..50 {
        supervisor
            .workers
            .reload(ReloadStrategy::AllAtOnce)
            .await
            .unwrap();
    }
    supervisor.events.times(102, exited).await;
    before.are_back().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn thirty_deaths_leave_nothing_open() {
    if !is_alone("orphans::thirty_deaths_leave_nothing_open") {
        return;
    }
    let supervisor = workers_that(&["child", "ready", "wait"])
        .workers(2)
        .listening()
        .ready()
        .await;
    let before = Resources::now();
    let is_ready = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Ready { .. });
    for death in 0..30 {
        let signal = [Signal::KILL, Signal::TERM, Signal::ABORT][death % 3];
        kill(supervisor.pids().await[death % 2], signal);
        supervisor.events.times(2 + death + 1, is_ready).await;
    }
    supervisor.is_ready().await;
    before.are_back().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stopped_supervisor_leaves_nothing_open() {
    if !is_alone("orphans::a_stopped_supervisor_leaves_nothing_open") {
        return;
    }
    let once = || async {
        let supervisor = workers_that(&["ready", "wait"])
            .workers(2)
            .listening()
            .ready()
            .await;
        supervisor.workers.stop().await;
    };
    once().await;
    let before = Resources::now();
    for _ in 0..10 {
        once().await;
    }
    before.are_back().await;
}
