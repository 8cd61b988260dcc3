//! Reloads of good and broken versions, with clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use rustix::process::Signal;
use tidings_supervisor::{ReloadError, ReloadStrategy, SupervisorEvent, WorkerState};

use super::harness::*;

#[tokio::test]
async fn all_workers_are_replaced_and_their_slots_kept() {
    for strategy in [ReloadStrategy::AllAtOnce, ReloadStrategy::Rolling] {
        let supervisor = workers_that(&["ready", "wait"]).workers(3).ready().await;
        let old_workers = supervisor.pids().await;
        let reloaded = supervisor.workers.reload(strategy).await.unwrap();
        assert_eq!(reloaded.workers, 3);
        let exited = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Exited { .. });
        supervisor.events.times(3, exited).await;
        assert!(old_workers.iter().all(|old_worker| !runs(*old_worker)));
        let status = supervisor.workers.status().await.unwrap();
        let slots: Vec<_> = status
            .workers
            .iter()
            .map(|it| (it.slot, it.restarts))
            .collect();
        assert_eq!(slots, [(0, 0), (1, 0), (2, 0)]);
    }
}

#[tokio::test]
async fn a_rolling_reload_has_at_most_one_additional_worker() {
    let supervisor = workers_that(&["ready", "wait"]).workers(3).ready().await;
    supervisor
        .workers
        .reload(ReloadStrategy::Rolling)
        .await
        .unwrap();
    let (mut processes, mut most) = (0, 0);
    for event in supervisor.events.all() {
        match event {
            SupervisorEvent::Started { .. } => processes += 1,
            SupervisorEvent::Exited { .. } => processes -= 1,
            _ => {}
        }
        most = most.max(processes);
    }
    assert_eq!(most, 4);
}

/// recluster never called the callback, and restarted the broken version forever.
#[tokio::test]
async fn a_reload_of_a_broken_version_fails_while_the_old_one_keeps_running() {
    let directory = short_directory();
    let name = directory.path().join("program");
    deploy(&misbehaving(), &name);
    let supervisor = workers_of(&name, &["serve"])
        .workers(3)
        .listening()
        .ready()
        .await;
    let old_workers = supervisor.pids().await;
    let clients = Clients::start(&supervisor);

    let broken = "#!/bin/sh\n(echo wrong; echo see the manual) >&2\nexit 78\n";
    deploy(&script(directory.path(), broken), &name);
    for strategy in [ReloadStrategy::AllAtOnce, ReloadStrategy::Rolling] {
        let error = supervisor.workers.reload(strategy).await.unwrap_err();
        let ReloadError::Exited {
            replaced: 0,
            ref last_lines,
            ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(*last_lines, ["wrong", "see the manual"]);
        let text = error.to_string();
        let end = "exited with status 78; the old workers keep running; last output:\n    wrong\n    \
                   see the manual";
        assert!(text.ends_with(end), "{text}");
    }
    assert_eq!(supervisor.pids().await, old_workers);
    clients.check().await;
}

#[tokio::test]
async fn a_version_that_never_gets_ready_is_stopped() {
    let directory = short_directory();
    let name = directory.path().join("program");
    deploy(&misbehaving(), &name);
    let supervisor = workers_of(&name, &["serve"])
        .listening()
        .with(|it| it.ready_timeout(3 * SECOND))
        .ready()
        .await;
    let old_workers = supervisor.pids().await;
    let hangs = "#!/bin/sh\necho it waits >&2\nexec sleep 600\n";
    deploy(&script(directory.path(), hangs), &name);
    let error = supervisor
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap_err();
    let ReloadError::NotReady {
        slot: 0,
        ref last_lines,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(*last_lines, ["it waits"]);
    supervisor
        .events
        .first(|it| {
            matches!(
                it,
                SupervisorEvent::Exited {
                    is_expected: true,
                    ..
                }
            )
        })
        .await;
    assert_eq!(supervisor.pids().await, old_workers);
}

/// In recluster two of them left a slot without a worker.
#[tokio::test]
async fn requests_during_a_reload_share_the_next_one_and_get_its_result() {
    let supervisor = workers_that(&["after=1000", "ready", "wait"])
        .workers(2)
        .ready()
        .await;
    let first = supervisor
        .workers
        .start_reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    assert!(!first.is_queued());
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(
            supervisor
                .workers
                .start_reload(ReloadStrategy::AllAtOnce)
                .await
                .unwrap(),
        );
    }
    first.await.unwrap();
    for other in others {
        other.await.unwrap();
    }
    // The two workers of the first reload and of the second one, and no others.
    let exited = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Exited { .. });
    supervisor.events.times(4, exited).await;
    let begun = supervisor
        .events
        .count(|it| matches!(it, SupervisorEvent::Reloading { .. }));
    assert_eq!(begun, 2);
    let status = supervisor.workers.status().await.unwrap();
    let states: Vec<_> = status.workers.iter().map(|it| it.state).collect();
    assert_eq!(states, [WorkerState::Ready; 2]);
}

#[tokio::test]
async fn a_reload_fails_when_the_supervisor_stops() {
    let supervisor = workers_that(&["ready", "wait"]).ready().await;
    let pid = supervisor.pids().await[0];
    let reload = supervisor
        .workers
        .start_reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    let stopped = supervisor.workers.stop().await;
    assert!(stopped.is_clean());
    // It may have succeeded before.
    if let Err(error) = reload.await {
        assert_eq!(error, ReloadError::Stopping);
    }
    assert!(!runs(pid));
}

#[tokio::test]
async fn a_failed_slot_recovers_with_a_good_version() {
    let directory = short_directory();
    let name = directory.path().join("program");
    let good = misbehaving();
    let half = format!(
        "#!/bin/sh\n[ $WORKER_ID = 0 ] && exit 1\nexec {} ready wait\n",
        good.display()
    );
    deploy(&script(directory.path(), &half), &name);
    let supervisor = workers_of(&name, &["ready", "wait"])
        .workers(2)
        .with(|it| it.crash_loop(2, DEADLINE))
        .start()
        .await;
    let all_failed =
        |event: &SupervisorEvent| matches!(event, SupervisorEvent::SlotFailed { slot: 0, .. });
    supervisor.events.first(all_failed).await;
    let status = supervisor.workers.status().await.unwrap();
    assert_eq!(status.workers[0].state, WorkerState::Failed);

    deploy(&good, &name);
    supervisor
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    supervisor.is_ready().await;
}

#[tokio::test]
async fn no_connection_is_refused_during_reloads() {
    let supervisor = workers_that(&["serve"])
        .workers(3)
        .listening()
        .ready()
        .await;
    let clients = Clients::start(&supervisor);
    for strategy in [ReloadStrategy::AllAtOnce, ReloadStrategy::Rolling]
        .into_iter()
        .cycle()
        .take(10)
    {
        supervisor.workers.reload(strategy).await.unwrap();
        supervisor.is_ready().await;
    }
    clients.check().await;
}

/// A task that connects, sends a request and disconnects, again and again.
struct Clients {
    stopping: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Clients {
    fn start(supervisor: &TestSupervisor) -> Self {
        let stopping = Arc::<AtomicBool>::default();
        let answered = Arc::<AtomicUsize>::default();
        let (stops, count, address) = (
            Arc::clone(&stopping),
            Arc::clone(&answered),
            supervisor.address(),
        );
        let task = tokio::spawn(async move {
            while !stops.load(Relaxed) {
                // Panics if the connection is refused or cut off.
                Client::connect(address).await.ask().await;
                count.fetch_add(1, Relaxed);
            }
        });
        Self {
            stopping,
            answered,
            task,
        }
    }

    async fn check(self) {
        eventually("a client got a response", || {
            self.answered.load(Relaxed) > 0 || self.task.is_finished()
        })
        .await;
        self.stopping.store(true, Relaxed);
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn an_old_worker_can_die_while_the_new_one_starts() {
    let supervisor = workers_that(&["after=300", "ready", "wait"]).ready().await;
    let old_worker = supervisor.pids().await[0];
    let reload = supervisor
        .workers
        .start_reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    kill(old_worker, Signal::KILL);
    reload.await.unwrap();
    supervisor.is_ready().await;
}
