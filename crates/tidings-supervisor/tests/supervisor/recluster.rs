//! What recluster, from which all of this comes, tests under these names.

use rustix::process::Signal;
use tidings_supervisor::{ReadyWhen, ReloadError, ReloadStrategy, SupervisorEvent, WorkerState};

use super::harness::*;

/// "simple balancer"
#[tokio::test]
async fn workers_share_a_socket_and_each_answers() {
    let trial = workers_that(&["serve"])
        .workers(2)
        .listening()
        .ready()
        .await;
    let pids = trial.pids().await;
    let (slot, pid) = trial.ask().await;
    assert_eq!(pids[slot], pid);

    // While this one is stopped, the other has all the work.
    kill(pid, Signal::STOP);
    let other = 1 - slot;
    assert_eq!(trial.ask().await, (other, pids[other]));
    kill(pid, Signal::CONT);
}

/// "async server"
#[tokio::test]
async fn a_server_that_takes_its_time_is_ready_when_it_listens() {
    let trial = workers_that(&["after=300", "serve"]).workers(2).listening();
    let trial = trial.ready().await;
    for event in trial.events.all() {
        if let SupervisorEvent::Ready { after, .. } = event {
            assert!(after >= 300 * MS, "{event}");
        }
    }
    trial.ask().await;
}

/// "async server fails if readyWhen = started": there a request was refused, because a worker that
/// merely ran was taken for one that listens. Here it waits in the socket.
#[tokio::test]
async fn a_server_that_is_taken_for_ready_too_soon_keeps_its_clients_waiting_and_refuses_none() {
    let trial = workers_that(&["after=300", "serve"])
        .listening()
        .with(|it| it.ready_when(ReadyWhen::After(1 * MS)))
        .ready()
        .await;
    trial.ask().await;
}

/// "manual ready signal"
#[tokio::test]
async fn a_worker_that_never_says_so_is_not_ready() {
    let trial = workers_that(&["only=0", "wait"]).workers(2).start().await;
    let is_ready =
        |event: &SupervisorEvent| matches!(event, SupervisorEvent::Ready { slot: 1, .. });
    trial.events.first(is_ready).await;
    let status = trial.workers.status().await.unwrap();
    assert_eq!(status.workers[0].state, WorkerState::Starting);
}

/// "broken server": there it was started again for ever, and a reload to it never came back.
#[tokio::test]
async fn a_server_that_is_broken_from_the_start_is_given_up_and_says_why() {
    let trial = workers_that(&["complain=no database", "exit=3"])
        .workers(2)
        .with(|it| it.crash_loop(3, PATIENCE))
        .start()
        .await;
    let stopped = trial.workers.wait_until_stopped().await;
    assert!(stopped.all_failed && !stopped.is_clean());
    let all_failed = |event: &SupervisorEvent| matches!(event, SupervisorEvent::SlotFailed { .. });
    let event = trial.events.first(all_failed).await.to_string();
    assert!(event.contains("exited with status 3"), "{event}");
    assert!(event.contains("no database"), "{event}");
    let starts = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Started { .. });
    assert_eq!(trial.events.count(starts), 6);
}

/// "reload in the middle of a request"
#[tokio::test]
async fn a_request_in_the_middle_of_a_reload_is_answered_by_the_elder() {
    let trial = workers_that(&["serve"]).listening().ready().await;
    let elder = trial.pids().await[0];
    let mut client = trial.connect().await;
    client.send("slow").await;
    trial.says("a slow request").await;

    trial
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();

    // Until it hears that it is to end, the elder may take new ones too.
    while trial.ask().await.1 == elder {}
    client.send("go on").await;
    assert_eq!(client.answer().await.1, elder);
    all_gone(&[elder]).await;
    let killed = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Killed { .. });
    assert_eq!(trial.events.count(killed), 0);
}

/// "old workers dont respond"
#[tokio::test]
async fn after_a_reload_only_successors_answer() {
    let trial = workers_that(&["serve"])
        .workers(2)
        .listening()
        .ready()
        .await;
    let elders = trial.pids().await;
    trial
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    all_gone(&elders).await;
    for _ in 0..10 {
        let (_, pid) = trial.ask().await;
        assert!(!elders.contains(&pid));
    }
}

/// "server with an endless setInterval": a worker that is always busy with something does not live
/// on for that.
#[tokio::test]
async fn a_server_that_never_comes_to_rest_ends_when_it_is_told_to() {
    let trial = workers_that(&["endless", "serve"])
        .listening()
        .ready()
        .await;
    let elders = trial.pids().await;
    trial
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    all_gone(&elders).await;
}

/// "server with arguments"
#[tokio::test]
async fn a_worker_gets_its_arguments() {
    let trial = workers_that(&["say=these are", "say=arguments", "ready", "wait"]);
    let trial = trial.ready().await;
    trial.says("these are").await;
    trial.says("arguments").await;
}

/// "dying server"
#[tokio::test]
async fn a_server_that_dies_is_respawned_and_nobody_is_refused() {
    let trial = workers_that(&["serve"])
        .workers(2)
        .listening()
        .ready()
        .await;
    for deaths in 0..5 {
        let (_, pid) = trial.ask().await;
        kill(pid, Signal::KILL);
        all_gone(&[pid]).await;
        // Whoever comes meanwhile is answered.
        trial.ask().await;
        let is_ready = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Ready { .. });
        trial.events.times(2 + deaths + 1, is_ready).await;
    }
    trial.is_ready().await;
}

/// "IPC-disconnecting server": a worker that cannot tell its supervisor anything any more. Here that
/// is one which gives no sign of life.
#[tokio::test]
async fn a_worker_that_is_not_heard_of_any_more_is_replaced() {
    let directory = short_directory();
    let once = format!("once={}", directory.path().join("once").display());
    let steps = ["lively=20", &once, "ready", "kill=19", "hang"];
    let trial = workers_that(&steps).with(|it| it.watchdog(SECOND));
    let trial = trial.start().await;
    let silent = |event: &SupervisorEvent| matches!(event, SupervisorEvent::WatchdogTimeout { .. });
    trial.events.first(silent).await;
    let ready = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Ready { .. });
    trial.events.times(2, ready).await;
}

/// "IPC-disconnecting server via msg": a worker asks to be replaced, and finishes what it has.
#[tokio::test]
async fn a_worker_that_says_it_ends_is_replaced_while_it_finishes() {
    let directory = short_directory();
    let once = format!("once={}", directory.path().join("once").display());
    let trial = workers_that(&[&once, "ready", "stopping", "wait"])
        .workers(4)
        .start()
        .await;
    let stopping = |event: &SupervisorEvent| matches!(event, SupervisorEvent::StopAnnounced { .. });
    trial.events.first(stopping).await;
    trial
        .events
        .times(5, |event| matches!(event, SupervisorEvent::Ready { .. }))
        .await;
    trial.is_ready().await;
    let status = trial.workers.status().await.unwrap();
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
async fn a_supervisor_that_is_stopped_starts_nobody_any_more() {
    let trial = workers_that(&["serve"])
        .workers(4)
        .listening()
        .ready()
        .await;
    let pids = trial.pids().await;
    let stopped = trial.workers.stop().await;
    assert!(stopped.is_clean(), "{stopped:?}");
    assert!(pids.iter().all(|pid| !runs(*pid)));
    let started = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Started { .. });
    assert_eq!(trial.events.count(started), 4);
    assert_eq!(trial.workers.status().await, None);
    let late = trial.workers.reload(ReloadStrategy::AllAtOnce).await;
    assert_eq!(late, Err(ReloadError::Stopping));
}

/// "maxlisteners warning (30 reloads)": something was left over of each. More of it in `orphans`.
#[tokio::test]
async fn thirty_reloads_leave_as_many_workers_as_there_were() {
    let trial = workers_that(&["ready", "wait"]).workers(2).ready().await;
    for _ in 0..30 {
        let reloaded = trial
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
    trial.events.times(60, exited).await;
    let status = trial.workers.status().await.unwrap();
    assert_eq!(status.workers.len(), 2);
}
