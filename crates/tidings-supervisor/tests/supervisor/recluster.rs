//! The tests of recluster, whose names are quoted.

use rustix::process::Signal;
use tidings_supervisor::{ReadyWhen, ReloadError, ReloadStrategy, SupervisorEvent, WorkerState};

use super::harness::*;

/// "simple balancer"
#[tokio::test]
async fn workers_share_a_socket_and_each_responds() {
    let supervisor = workers_that(&["serve"])
        .workers(2)
        .listening()
        .ready()
        .await;
    let pids = supervisor.pids().await;
    let (slot, pid) = supervisor.ask().await;
    assert_eq!(pids[slot], pid);

    // While this one is frozen, the other one accepts all connections.
    kill(pid, Signal::STOP);
    let other = 1 - slot;
    assert_eq!(supervisor.ask().await, (other, pids[other]));
    kill(pid, Signal::CONT);
}

/// "async server"
#[tokio::test]
async fn a_slow_server_is_ready_when_it_listens() {
    let supervisor = workers_that(&["after=300", "serve"]).workers(2).listening();
    let supervisor = supervisor.ready().await;
    for event in supervisor.events.all() {
        if let SupervisorEvent::Ready { after, .. } = event {
            assert!(after >= 300 * MS, "{event}");
        }
    }
    supervisor.ask().await;
}

/// "async server fails if readyWhen = started": there a request was refused, because a running worker was
/// assumed to listen. Here it waits in the backlog.
#[tokio::test]
async fn connections_wait_for_a_server_that_is_taken_for_ready_too_soon() {
    let supervisor = workers_that(&["after=300", "serve"])
        .listening()
        .with(|it| it.ready_when(ReadyWhen::After(1 * MS)))
        .ready()
        .await;
    supervisor.ask().await;
}

/// "manual ready signal"
#[tokio::test]
async fn a_worker_without_a_notification_is_not_ready() {
    let supervisor = workers_that(&["only=0", "wait"]).workers(2).start().await;
    let is_ready =
        |event: &SupervisorEvent| matches!(event, SupervisorEvent::Ready { slot: 1, .. });
    supervisor.events.first(is_ready).await;
    let status = supervisor.workers.status().await.unwrap();
    assert_eq!(status.workers[0].state, WorkerState::Starting);
}

/// "broken server": there it was restarted forever, and a reload of it never ended.
#[tokio::test]
async fn a_broken_server_fails_with_the_reason() {
    let supervisor = workers_that(&["eprint=no database", "exit=3"])
        .workers(2)
        .with(|it| it.crash_loop(3, DEADLINE))
        .start()
        .await;
    let stopped = supervisor.workers.wait_until_stopped().await;
    assert!(stopped.all_failed && !stopped.is_clean());
    let all_failed = |event: &SupervisorEvent| matches!(event, SupervisorEvent::SlotFailed { .. });
    let event = supervisor.events.first(all_failed).await.to_string();
    assert!(event.contains("exited with status 3"), "{event}");
    assert!(event.contains("no database"), "{event}");
    let starts = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Started { .. });
    assert_eq!(supervisor.events.count(starts), 6);
}

/// "reload in the middle of a request"
#[tokio::test]
async fn a_request_in_progress_during_a_reload_is_completed_by_the_old_worker() {
    let supervisor = workers_that(&["serve"]).listening().ready().await;
    let old_worker = supervisor.pids().await[0];
    let mut client = supervisor.connect().await;
    client.send("slow").await;
    supervisor.says("a slow request").await;

    supervisor
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();

    // Until it gets the signal, the old worker may accept connections.
    while supervisor.ask().await.1 == old_worker {}
    client.send("go on").await;
    assert_eq!(client.response().await.1, old_worker);
    all_gone(&[old_worker]).await;
    let killed = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Killed { .. });
    assert_eq!(supervisor.events.count(killed), 0);
}

/// "old workers dont respond"
#[tokio::test]
async fn after_a_reload_only_new_workers_respond() {
    let supervisor = workers_that(&["serve"])
        .workers(2)
        .listening()
        .ready()
        .await;
    let old_workers = supervisor.pids().await;
    supervisor
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    all_gone(&old_workers).await;
    for _ in 0..10 {
        let (_, pid) = supervisor.ask().await;
        assert!(!old_workers.contains(&pid));
    }
}

/// "server with an endless setInterval"
#[tokio::test]
async fn a_server_that_is_always_busy_can_be_stopped() {
    let supervisor = workers_that(&["endless", "serve"])
        .listening()
        .ready()
        .await;
    let old_workers = supervisor.pids().await;
    supervisor
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    all_gone(&old_workers).await;
}

/// "server with arguments"
#[tokio::test]
async fn a_worker_gets_its_arguments() {
    let supervisor = workers_that(&["print=these are", "print=arguments", "ready", "wait"]);
    let supervisor = supervisor.ready().await;
    supervisor.says("these are").await;
    supervisor.says("arguments").await;
}

/// "dying server"
#[tokio::test]
async fn a_server_that_dies_is_restarted_and_no_connection_is_refused() {
    let supervisor = workers_that(&["serve"])
        .workers(2)
        .listening()
        .ready()
        .await;
    for deaths in 0..5 {
        let (_, pid) = supervisor.ask().await;
        kill(pid, Signal::KILL);
        all_gone(&[pid]).await;
        // A connection before the restart is served.
        supervisor.ask().await;
        let is_ready = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Ready { .. });
        supervisor.events.times(2 + deaths + 1, is_ready).await;
    }
    supervisor.is_ready().await;
}

/// "IPC-disconnecting server": a worker without a connection to its supervisor. Here this is one that sends
/// no watchdog notification.
#[tokio::test]
async fn a_worker_that_hangs_is_replaced() {
    let directory = short_directory();
    let once = format!("once={}", directory.path().join("once").display());
    let steps = ["send-watchdog=20", &once, "ready", "kill=19", "hang"];
    let supervisor = workers_that(&steps).with(|it| it.watchdog(SECOND));
    let supervisor = supervisor.start().await;
    let silent = |event: &SupervisorEvent| matches!(event, SupervisorEvent::WatchdogTimeout { .. });
    supervisor.events.first(silent).await;
    let ready = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Ready { .. });
    supervisor.events.times(2, ready).await;
}

/// "IPC-disconnecting server via msg": a worker that wants to be replaced, and finishes its work.
#[tokio::test]
async fn a_worker_that_announces_its_stop_is_replaced_while_it_finishes() {
    let directory = short_directory();
    let once = format!("once={}", directory.path().join("once").display());
    let supervisor = workers_that(&[&once, "ready", "stopping", "wait"])
        .workers(4)
        .start()
        .await;
    let stopping = |event: &SupervisorEvent| matches!(event, SupervisorEvent::StopAnnounced { .. });
    supervisor.events.first(stopping).await;
    supervisor
        .events
        .times(5, |event| matches!(event, SupervisorEvent::Ready { .. }))
        .await;
    supervisor.is_ready().await;
    let status = supervisor.workers.status().await.unwrap();
    let states = status.workers.iter().map(|worker| worker.state);
    assert_eq!(
        states
            .clone()
            .filter(|it| *it == WorkerState::Ready)
            .count(),
        4
    );
    assert_eq!(states.filter(|it| *it == WorkerState::Draining).count(), 1);
}

/// "stopped cluster"
#[tokio::test]
async fn a_stopped_supervisor_starts_no_more_workers() {
    let supervisor = workers_that(&["serve"])
        .workers(4)
        .listening()
        .ready()
        .await;
    let pids = supervisor.pids().await;
    let stopped = supervisor.workers.stop().await;
    assert!(stopped.is_clean(), "{stopped:?}");
    assert!(pids.iter().all(|pid| !runs(*pid)));
    let started = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Started { .. });
    assert_eq!(supervisor.events.count(started), 4);
    assert_eq!(supervisor.workers.status().await, None);
    let late = supervisor.workers.reload(ReloadStrategy::AllAtOnce).await;
    assert_eq!(late, Err(ReloadError::Stopping));
}

/// "maxlisteners warning (30 reloads)": there each left something over. See also `orphans`.
#[tokio::test]
async fn thirty_reloads_keep_the_number_of_workers() {
    let supervisor = workers_that(&["ready", "wait"]).workers(2).ready().await;
    for _ in 0..30 {
        let reloaded = supervisor
            .workers
            .reload(ReloadStrategy::AllAtOnce)
            .await
            .unwrap();
        assert_eq!(reloaded.workers, 2);
    }
    let exited = |event: &SupervisorEvent| {
        matches!(
            event,
            SupervisorEvent::Exited {
                is_expected: true,
                ..
            }
        )
    };
    supervisor.events.times(60, exited).await;
    let status = supervisor.workers.status().await.unwrap();
    assert_eq!(status.workers.len(), 2);
}
