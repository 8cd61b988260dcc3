//! Workers that die in various ways, and slots that recover.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tidings_supervisor::{Backoff, Exit, ReadyWhen, ReloadStrategy, SupervisorEvent, WorkerState};

use super::harness::*;

fn is_ready(event: &SupervisorEvent) -> bool {
    matches!(event, SupervisorEvent::Ready { .. })
}

fn is_exit(event: &SupervisorEvent, how: &Exit) -> bool {
    matches!(event, SupervisorEvent::Exited { exit, is_expected: false, .. } if exit == how)
}

#[tokio::test]
async fn each_kind_of_exit_is_reported() {
    let endings = [
        ("exit=0", Exit::Status(0)),
        ("exit=7", Exit::Status(7)),
        ("kill=9", Exit::Signal(9)),
        ("kill=6", Exit::Signal(6)),
    ];
    for (step, exit) in endings {
        let supervisor = workers_that(&["only=0", step]).workers(2).start().await;
        supervisor.events.first(|event| is_exit(event, &exit)).await;
        let status = supervisor.workers.status().await.unwrap();
        assert_eq!(status.workers[0].last_exit, Some(exit));
        supervisor.workers.kill().await;
    }
}

#[tokio::test]
async fn a_slot_recovers_from_deaths_by_various_signals_with_its_number() {
    let supervisor = workers_that(&["ready", "wait"]).workers(3).ready().await;
    let signals = [
        Signal::KILL,
        Signal::TERM,
        Signal::ABORT,
        Signal::QUIT,
        Signal::HUP,
    ];
    for (deaths, signal) in signals.iter().cycle().take(30).enumerate() {
        let slot = deaths % 3;
        kill(supervisor.pids().await[slot], *signal);
        let back = 3 + deaths + 1;
        supervisor.events.times(back, is_ready).await;
    }
    supervisor.is_ready().await;
    let status = supervisor.workers.status().await.unwrap();
    let slots: Vec<_> = status
        .workers
        .iter()
        .map(|it| (it.slot, it.restarts))
        .collect();
    assert_eq!(slots, [(0, 10), (1, 10), (2, 10)]);
    let waits = supervisor
        .events
        .all()
        .into_iter()
        .filter_map(|event| match event {
            SupervisorEvent::Restarting { delay, .. } => Some(delay),
            _ => None,
        });
    for delay in waits {
        assert!((5 * MS..=50 * MS).contains(&delay), "{delay:?}");
    }
}

/// In recluster the delay exceeded its maximum, because all workers shared it.
#[tokio::test]
async fn no_delay_exceeds_the_maximum() {
    let supervisor = workers_that(&["exit=1"])
        .workers(4)
        .with(|it| it.crash_loop(8, DEADLINE))
        .start()
        .await;
    supervisor.workers.wait_until_stopped().await;
    let mut delays = Vec::new();
    for event in supervisor.events.all() {
        if let SupervisorEvent::Restarting { delay, .. } = event {
            delays.push(delay);
        }
    }
    assert_eq!(delays.len(), 4 * 7);
    assert!(delays.iter().all(|delay| *delay <= 50 * MS), "{delays:?}");
}

/// recluster replaced 0 by its default.
#[tokio::test]
async fn times_of_zero_are_allowed() {
    let zero = Duration::ZERO;
    let backoff = Backoff::default().min_delay(zero).max_delay(zero);
    let supervisor = workers_that(&["ignore-sigterm", "ready", "hang"])
        .with(|it| it.stop_timeout(zero).backoff(backoff))
        .ready()
        .await;
    kill(supervisor.pids().await[0], Signal::KILL);
    supervisor.events.times(2, is_ready).await;
    let delay = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Restarting { delay, .. } if delay.is_zero());
    assert_eq!(supervisor.events.count(delay), 1);
    let stopped = supervisor.workers.stop().await;
    assert_eq!(stopped.killed, 1);
}

#[tokio::test]
async fn times_of_forever_are_allowed() {
    let ever = Duration::MAX;
    let backoff = Backoff::default().max_delay(ever).reset_after(ever);
    let supervisor = workers_that(&["send-watchdog=100", "ready", "wait"])
        .with(|it| it.stop_timeout(ever).ready_timeout(ever).watchdog(ever))
        .with(|it| it.backoff(backoff).crash_loop(2, ever))
        .ready()
        .await;
    kill(supervisor.pids().await[0], Signal::KILL);
    supervisor.events.times(2, is_ready).await;
    assert!(supervisor.workers.stop().await.is_clean());

    let patient = workers_that(&["ready", "wait"]).with(|it| it.ready_when(ReadyWhen::After(ever)));
    let patient = patient.with(|it| it.backoff(Backoff::default().min_delay(ever)));
    let supervisor = patient.start().await;
    let pid = supervisor
        .events
        .first(|it| matches!(it, SupervisorEvent::Started { .. }))
        .await;
    let SupervisorEvent::Started { pid, .. } = pid else {
        unreachable!()
    };
    kill(pid, Signal::KILL);
    supervisor
        .events
        .first(|it| matches!(it, SupervisorEvent::Restarting { .. }))
        .await;
}

/// recluster killed a worker that did not stop after an hour or at once.
#[tokio::test]
async fn a_worker_that_ignores_sigterm_is_killed_after_the_stop_timeout() {
    let stop_timeout = 300 * MS;
    let supervisor = workers_that(&["ignore-sigterm", "ready", "hang"]).workers(2);
    let supervisor = supervisor
        .with(|it| it.stop_timeout(stop_timeout))
        .ready()
        .await;
    let began = Instant::now();
    let stopped = supervisor.workers.stop().await;
    assert_eq!((stopped.killed, stopped.all_failed), (2, false));
    assert!(began.elapsed() >= stop_timeout);
    let killed = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Killed { stop_timeout: Some(it), .. } if *it == stop_timeout);
    assert_eq!(supervisor.events.count(killed), 2);
}

#[tokio::test]
async fn a_worker_that_is_not_ready_in_time_is_replaced() {
    let directory = short_directory();
    let once = format!("once={}", directory.path().join("once").display());
    let supervisor = workers_that(&[&once, "hang"])
        .with(|it| it.ready_timeout(SECOND))
        .ready()
        .await;
    let not_ready = |event: &SupervisorEvent| matches!(event, SupervisorEvent::NotReady { .. });
    assert_eq!(supervisor.events.count(not_ready), 1);
}

#[tokio::test]
async fn the_output_of_a_worker_that_is_never_ready_is_shown() {
    let supervisor = workers_that(&["eprint=no database", "hang"])
        .with(|it| it.ready_timeout(3 * SECOND).crash_loop(1, SECOND))
        .start()
        .await;
    assert!(supervisor.workers.wait_until_stopped().await.all_failed);
    let all_failed = |event: &SupervisorEvent| matches!(event, SupervisorEvent::SlotFailed { .. });
    let event = supervisor.events.first(all_failed).await.to_string();
    let end = "the last one not ready in time; last output:\n    no database";
    assert!(event.ends_with(end), "{event}");
}

#[tokio::test]
async fn children_of_a_worker_are_killed_when_it_dies() {
    let supervisor = workers_that(&["child", "ready", "wait"]).ready().await;
    let line = supervisor
        .lines
        .first(|line| line.text.starts_with("child "))
        .await;
    let child = line.text["child ".len()..].parse().unwrap();
    assert!(runs(child));
    kill(supervisor.pids().await[0], Signal::KILL);
    all_gone(&[child]).await;
    supervisor.events.times(2, is_ready).await;
}

#[tokio::test]
async fn children_of_a_worker_are_killed_when_it_is_stopped() {
    let supervisor = workers_that(&["child", "ready", "wait"]).ready().await;
    let line = supervisor
        .lines
        .first(|line| line.text.starts_with("child "))
        .await;
    let child = line.text["child ".len()..].parse().unwrap();
    assert!(supervisor.workers.stop().await.is_clean());
    all_gone(&[child]).await;
}

/// Such a process holds the pipe of the worker open.
#[tokio::test]
async fn a_slot_does_not_wait_for_a_process_that_left_the_group() {
    let directory = short_directory();
    let once = format!("once={}", directory.path().join("once").display());
    let supervisor = workers_that(&[&once, "stray", "ready", "wait"])
        .ready()
        .await;
    let line = supervisor
        .lines
        .first(|line| line.text.starts_with("child "))
        .await;
    let stray = Stray(line.text["child ".len()..].parse().unwrap());
    kill(supervisor.pids().await[0], Signal::KILL);
    supervisor.events.times(2, is_ready).await;
    assert!(runs(stray.0));
}

/// A process that the supervisor does not kill.
struct Stray(u32);

impl Drop for Stray {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(process(self.0), Signal::KILL);
    }
}

#[tokio::test]
async fn scaling_starts_and_stops_workers() {
    let supervisor = workers_that(&["ready", "wait"]).workers(2).ready().await;
    assert_eq!(supervisor.workers.scale(4).await, Ok(2));
    supervisor.events.times(4, is_ready).await;
    supervisor.is_ready().await;
    assert_eq!(supervisor.pids().await.len(), 4);
    assert_eq!(supervisor.workers.scale(1).await, Ok(4));
    let exited = |event: &SupervisorEvent| {
        matches!(
            event,
            SupervisorEvent::Exited {
                is_expected: true,
                ..
            }
        )
    };
    supervisor.events.times(3, exited).await;
    assert_eq!(supervisor.pids().await.len(), 1);
}

#[tokio::test]
async fn a_program_that_becomes_invalid_fails_to_start_with_the_reason() {
    let directory = short_directory();
    let name = directory.path().join("program");
    deploy(&misbehaving(), &name);
    let supervisor = workers_of(&name, &["ready", "wait"]).ready().await;

    let text = script(directory.path(), "no program at all");
    let open = script(directory.path(), "#!/bin/sh\nexec sleep 60");
    set_mode(&open, 0o757);
    let bad = [
        (text, "Exec format error"),
        (open, "all users can write"),
        (directory.path().to_owned(), "is not an executable file"),
        (directory.path().join("nothing"), "not found"),
        ("/bin/no-interpreter".into(), "not found"),
    ];
    for (program, why) in bad {
        deploy(&program, &name);
        let error = supervisor
            .workers
            .reload(ReloadStrategy::AllAtOnce)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    assert_eq!(supervisor.pids().await.len(), 1);

    kill(supervisor.pids().await[0], Signal::KILL);
    let not_started = |event: &SupervisorEvent| match event {
        SupervisorEvent::Exited {
            exit: Exit::NotStarted(why),
            ..
        } => why.contains("not found"),
        _ => false,
    };
    // Two new workers of reloads, and at least one restart.
    supervisor.events.times(3, not_started).await;
    deploy(&misbehaving(), &name);
    supervisor.events.times(2, is_ready).await;
}

#[tokio::test]
async fn a_script_without_its_interpreter_fails_to_start() {
    let directory = short_directory();
    let program = script(directory.path(), "#!/no/such/interpreter\n");
    let supervisor = workers_of(&program, &[]).with(|it| it.crash_loop(1, SECOND));
    let supervisor = supervisor.start().await;
    assert!(supervisor.workers.wait_until_stopped().await.all_failed);
    let event = supervisor
        .events
        .first(|it| matches!(it, SupervisorEvent::SlotFailed { .. }))
        .await;
    assert!(
        event
            .to_string()
            .contains("cannot execute it: No such file"),
        "{event}"
    );
}

#[tokio::test]
async fn a_worker_that_listens_itself_is_ready_and_the_old_worker_does_not_make_it_so() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = port.local_addr().unwrap();
    drop(port);
    let directory = short_directory();
    let name = directory.path().join("program");
    deploy(&misbehaving(), &name);
    let listen = format!("listen={at}");
    let supervisor = workers_of(&name, &[&listen, "wait"])
        .with(|it| {
            it.ready_when(ReadyWhen::Accepts(at))
                .ready_timeout(3 * SECOND)
        })
        .ready()
        .await;

    // This version listens nowhere, while the old worker listens.
    let silent = script(directory.path(), "#!/bin/sh\nexec sleep 600\n");
    deploy(&silent, &name);
    let error = supervisor
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not ready within"), "{error}");

    deploy(&misbehaving(), &name);
    supervisor
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    let status = supervisor.workers.status().await.unwrap();
    assert!(
        status
            .workers
            .iter()
            .any(|it| it.state == WorkerState::Ready)
    );
}

#[tokio::test]
async fn notifications_do_not_make_a_worker_ready_that_is_ready_by_uptime() {
    let supervisor = workers_that(&["ready", "exit=1"]).with(|it| {
        it.ready_when(ReadyWhen::After(10 * DEADLINE))
            .ready_timeout(20 * DEADLINE)
    });
    let supervisor = supervisor.workers(4).start().await;
    let exited = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Exited { .. });
    supervisor.events.times(40, exited).await;
    assert_eq!(supervisor.events.count(is_ready), 0);
}

#[tokio::test]
async fn a_slot_recovers_from_a_death_after_its_directory_was_removed() {
    let directory = short_directory();
    let runtime = directory.path().join("run");
    let supervisor = workers_that(&["ready", "wait"]).with(|it| it.runtime_dir(&runtime));
    let supervisor = supervisor.ready().await;
    std::fs::remove_dir_all(&runtime).unwrap();
    kill(supervisor.pids().await[0], Signal::KILL);
    supervisor.events.times(2, is_ready).await;
    let exited = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Exited { .. });
    assert_eq!(supervisor.events.count(exited), 1);
}
