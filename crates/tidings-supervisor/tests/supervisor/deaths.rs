//! Workers that die in all ways, and slots that recover.

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
async fn how_a_worker_ended_is_told_whatever_it_was() {
    let endings = [
        ("exit=0", Exit::Status(0)),
        ("exit=7", Exit::Status(7)),
        ("kill=9", Exit::Signal(9)),
        ("kill=6", Exit::Signal(6)),
    ];
    for (step, exit) in endings {
        let trial = workers_that(&["only=0", step]).workers(2).start().await;
        trial.events.first(|event| is_exit(event, &exit)).await;
        let status = trial.workers.status().await.unwrap();
        assert_eq!(status.workers[0].last_exit, Some(exit));
        trial.workers.kill().await;
    }
}

#[tokio::test]
async fn a_slot_recovers_from_thirty_deaths_of_all_kinds_with_its_number() {
    let trial = workers_that(&["ready", "wait"]).workers(3).ready().await;
    let signals = [
        Signal::KILL,
        Signal::TERM,
        Signal::ABORT,
        Signal::QUIT,
        Signal::HUP,
    ];
    for (deaths, signal) in signals.iter().cycle().take(30).enumerate() {
        let slot = deaths % 3;
        kill(trial.pids().await[slot], *signal);
        let back = 3 + deaths + 1;
        trial.events.times(back, is_ready).await;
    }
    trial.is_ready().await;
    let status = trial.workers.status().await.unwrap();
    let slots: Vec<_> = status
        .workers
        .iter()
        .map(|it| (it.slot, it.restarts))
        .collect();
    assert_eq!(slots, [(0, 10), (1, 10), (2, 10)]);
    let waits = trial
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

/// recluster's spacing passed its cap, since all workers added to one.
#[tokio::test]
async fn no_wait_is_longer_than_the_longest_whoever_dies() {
    let trial = workers_that(&["exit=1"])
        .workers(4)
        .with(|it| it.crash_loop(8, PATIENCE))
        .start()
        .await;
    trial.workers.wait_until_stopped().await;
    let mut delays = Vec::new();
    for event in trial.events.all() {
        if let SupervisorEvent::Restarting { delay, .. } = event {
            delays.push(delay);
        }
    }
    assert_eq!(delays.len(), 4 * 7);
    assert!(delays.iter().all(|delay| *delay <= 50 * MS), "{delays:?}");
}

/// recluster took 0 for its default.
#[tokio::test]
async fn nothing_is_a_choice_as_well() {
    let nothing = Duration::ZERO;
    let backoff = Backoff::default().min_delay(nothing).max_delay(nothing);
    let trial = workers_that(&["deaf", "ready", "hang"])
        .with(|it| it.stop_timeout(nothing).backoff(backoff))
        .ready()
        .await;
    kill(trial.pids().await[0], Signal::KILL);
    trial.events.times(2, is_ready).await;
    let delay = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Restarting { delay, .. } if delay.is_zero());
    assert_eq!(trial.events.count(delay), 1);
    let stopped = trial.workers.stop().await;
    assert_eq!(stopped.killed, 1);
}

#[tokio::test]
async fn for_ever_is_a_choice_as_well() {
    let ever = Duration::MAX;
    let backoff = Backoff::default().max_delay(ever).reset_after(ever);
    let trial = workers_that(&["lively=100", "ready", "wait"])
        .with(|it| it.stop_timeout(ever).ready_timeout(ever).watchdog(ever))
        .with(|it| it.backoff(backoff).crash_loop(2, ever))
        .ready()
        .await;
    kill(trial.pids().await[0], Signal::KILL);
    trial.events.times(2, is_ready).await;
    assert!(trial.workers.stop().await.is_clean());

    let patient = workers_that(&["ready", "wait"]).with(|it| it.ready_when(ReadyWhen::After(ever)));
    let patient = patient.with(|it| it.backoff(Backoff::default().min_delay(ever)));
    let trial = patient.start().await;
    let pid = trial
        .events
        .first(|it| matches!(it, SupervisorEvent::Started { .. }))
        .await;
    let SupervisorEvent::Started { pid, .. } = pid else {
        unreachable!()
    };
    kill(pid, Signal::KILL);
    trial
        .events
        .first(|it| matches!(it, SupervisorEvent::Restarting { .. }))
        .await;
}

/// With recluster a worker that did not end was killed after an hour or at once.
#[tokio::test]
async fn a_worker_that_ignores_sigterm_has_its_grace_and_is_killed_then() {
    let grace = 300 * MS;
    let trial = workers_that(&["deaf", "ready", "hang"]).workers(2);
    let trial = trial.with(|it| it.stop_timeout(grace)).ready().await;
    let began = Instant::now();
    let stopped = trial.workers.stop().await;
    assert_eq!((stopped.killed, stopped.all_failed), (2, false));
    assert!(began.elapsed() >= grace);
    let killed = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Killed { stop_timeout: Some(it), .. } if *it == grace);
    assert_eq!(trial.events.count(killed), 2);
}

#[tokio::test]
async fn a_worker_that_is_not_ready_in_time_is_replaced() {
    let directory = short_directory();
    let once = format!("once={}", directory.path().join("once").display());
    let trial = workers_that(&[&once, "hang"])
        .with(|it| it.ready_timeout(SECOND))
        .ready()
        .await;
    let not_ready = |event: &SupervisorEvent| matches!(event, SupervisorEvent::NotReady { .. });
    assert_eq!(trial.events.count(not_ready), 1);
}

#[tokio::test]
async fn of_a_worker_that_is_never_ready_is_shown_what_it_wrote() {
    let trial = workers_that(&["complain=no database", "hang"])
        .with(|it| it.ready_timeout(3 * SECOND).crash_loop(1, SECOND))
        .start()
        .await;
    assert!(trial.workers.wait_until_stopped().await.all_failed);
    let all_failed = |event: &SupervisorEvent| matches!(event, SupervisorEvent::SlotFailed { .. });
    let event = trial.events.first(all_failed).await.to_string();
    let end = "the last one not ready in time; its last output:\n    no database";
    assert!(event.ends_with(end), "{event}");
}

#[tokio::test]
async fn what_a_worker_started_is_gone_when_it_dies() {
    let trial = workers_that(&["child", "ready", "wait"]).ready().await;
    let line = trial
        .lines
        .first(|line| line.text.starts_with("child "))
        .await;
    let child = line.text["child ".len()..].parse().unwrap();
    assert!(runs(child));
    kill(trial.pids().await[0], Signal::KILL);
    all_gone(&[child]).await;
    trial.events.times(2, is_ready).await;
}

#[tokio::test]
async fn what_a_worker_started_is_gone_when_it_is_told_to_end() {
    let trial = workers_that(&["child", "ready", "wait"]).ready().await;
    let line = trial
        .lines
        .first(|line| line.text.starts_with("child "))
        .await;
    let child = line.text["child ".len()..].parse().unwrap();
    assert!(trial.workers.stop().await.is_clean());
    all_gone(&[child]).await;
}

/// One that left the group holds its pipe open, and the slot does not wait for it.
#[tokio::test]
async fn a_slot_does_not_wait_for_a_process_that_left_the_group() {
    let directory = short_directory();
    let once = format!("once={}", directory.path().join("once").display());
    let trial = workers_that(&[&once, "stray", "ready", "wait"])
        .ready()
        .await;
    let line = trial
        .lines
        .first(|line| line.text.starts_with("child "))
        .await;
    let stray = Stray(line.text["child ".len()..].parse().unwrap());
    kill(trial.pids().await[0], Signal::KILL);
    trial.events.times(2, is_ready).await;
    assert!(runs(stray.0));
}

/// Ours to end: the supervisor promises nothing about it.
struct Stray(u32);

impl Drop for Stray {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(process(self.0), Signal::KILL);
    }
}

#[tokio::test]
async fn more_and_fewer_workers_come_and_go() {
    let trial = workers_that(&["ready", "wait"]).workers(2).ready().await;
    assert_eq!(trial.workers.scale(4).await, Ok(2));
    trial.events.times(4, is_ready).await;
    trial.is_ready().await;
    assert_eq!(trial.pids().await.len(), 4);
    assert_eq!(trial.workers.scale(1).await, Ok(4));
    let exited = |event: &SupervisorEvent| {
        matches!(
            event,
            SupervisorEvent::Exited {
                is_expected: true,
                ..
            }
        )
    };
    trial.events.times(3, exited).await;
    assert_eq!(trial.pids().await.len(), 1);
}

#[tokio::test]
async fn a_program_that_turns_bad_is_a_failed_start_whose_reason_is_told() {
    let directory = short_directory();
    let name = directory.path().join("program");
    deploy(&misbehaving(), &name);
    let trial = workers_of(&name, &["ready", "wait"]).ready().await;

    let text = script(directory.path(), "no program at all");
    let open = script(directory.path(), "#!/bin/sh\nexec sleep 60");
    set_mode(&open, 0o757);
    let bad = [
        (text, "Exec format error"),
        (open, "can be written by everybody"),
        (directory.path().to_owned(), "no program that can be run"),
        (directory.path().join("nothing"), "there is no program"),
        ("/bin/no-interpreter".into(), "there is no program"),
    ];
    for (program, why) in bad {
        deploy(&program, &name);
        let error = trial
            .workers
            .reload(ReloadStrategy::AllAtOnce)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    assert_eq!(trial.pids().await.len(), 1);

    kill(trial.pids().await[0], Signal::KILL);
    let not_started = |event: &SupervisorEvent| match event {
        SupervisorEvent::Exited {
            exit: Exit::NotStarted(why),
            ..
        } => why.contains("there is no program"),
        _ => false,
    };
    // Two successors, and a respawn at least.
    trial.events.times(3, not_started).await;
    deploy(&misbehaving(), &name);
    trial.events.times(2, is_ready).await;
}

#[tokio::test]
async fn a_program_without_its_interpreter_is_a_failed_start() {
    let directory = short_directory();
    let program = script(directory.path(), "#!/no/such/interpreter\n");
    let trial = workers_of(&program, &[]).with(|it| it.crash_loop(1, SECOND));
    let trial = trial.start().await;
    assert!(trial.workers.wait_until_stopped().await.all_failed);
    let event = trial
        .events
        .first(|it| matches!(it, SupervisorEvent::SlotFailed { .. }))
        .await;
    assert!(
        event.to_string().contains("executing it: No such file"),
        "{event}"
    );
}

#[tokio::test]
async fn a_worker_that_listens_itself_is_ready_and_its_elder_does_not_make_it_so() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = port.local_addr().unwrap();
    drop(port);
    let directory = short_directory();
    let name = directory.path().join("program");
    deploy(&misbehaving(), &name);
    let listen = format!("listen={at}");
    let trial = workers_of(&name, &[&listen, "wait"])
        .with(|it| {
            it.ready_when(ReadyWhen::Accepts(at))
                .ready_timeout(3 * SECOND)
        })
        .ready()
        .await;

    // This one listens nowhere, while its elder does.
    let deaf = script(directory.path(), "#!/bin/sh\nexec sleep 600\n");
    deploy(&deaf, &name);
    let error = trial
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not ready within"), "{error}");

    deploy(&misbehaving(), &name);
    trial
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    let status = trial.workers.status().await.unwrap();
    assert!(
        status
            .workers
            .iter()
            .any(|it| it.state == WorkerState::Ready)
    );
}

/// Where something else makes a worker ready, its word does not, not even its last one.
#[tokio::test]
async fn the_last_words_of_a_worker_do_not_make_it_ready() {
    let trial = workers_that(&["ready", "exit=1"]).with(|it| {
        it.ready_when(ReadyWhen::After(10 * PATIENCE))
            .ready_timeout(20 * PATIENCE)
    });
    let trial = trial.workers(4).start().await;
    let exited = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Exited { .. });
    trial.events.times(40, exited).await;
    assert_eq!(trial.events.count(is_ready), 0);
}

/// As it is after months in a temporary directory that somebody cleans.
#[tokio::test]
async fn a_slot_recovers_from_a_death_when_its_directory_is_gone() {
    let directory = short_directory();
    let runtime = directory.path().join("run");
    let trial = workers_that(&["ready", "wait"]).with(|it| it.runtime_dir(&runtime));
    let trial = trial.ready().await;
    std::fs::remove_dir_all(&runtime).unwrap();
    kill(trial.pids().await[0], Signal::KILL);
    trial.events.times(2, is_ready).await;
    let exited = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Exited { .. });
    assert_eq!(trial.events.count(exited), 1);
}
