//! New versions, good and broken, under clients that do not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use rustix::process::Signal;
use tidings_supervisor::{ReloadError, ReloadStrategy, SupervisorEvent, WorkerState};

use super::harness::*;

#[tokio::test]
async fn all_workers_are_replaced_and_keep_their_numbers() {
    for strategy in [ReloadStrategy::AllAtOnce, ReloadStrategy::Rolling] {
        let trial = workers_that(&["ready", "wait"]).workers(3).ready().await;
        let elders = trial.pids().await;
        let reloaded = trial.workers.reload(strategy).await.unwrap();
        assert_eq!(reloaded.workers, 3);
        let exited = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Exited { .. });
        trial.events.times(3, exited).await;
        assert!(elders.iter().all(|elder| !runs(*elder)));
        let status = trial.workers.status().await.unwrap();
        let slots: Vec<_> = status
            .workers
            .iter()
            .map(|it| (it.slot, it.restarts))
            .collect();
        assert_eq!(slots, [(0, 0), (1, 0), (2, 0)]);
    }
}

#[tokio::test]
async fn a_rolling_reload_has_never_more_than_one_worker_too_many() {
    let trial = workers_that(&["ready", "wait"]).workers(3).ready().await;
    trial.workers.reload(ReloadStrategy::Rolling).await.unwrap();
    let (mut processes, mut most) = (0, 0);
    for event in trial.events.all() {
        match event {
            SupervisorEvent::Started { .. } => processes += 1,
            SupervisorEvent::Exited { .. } => processes -= 1,
            _ => {}
        }
        most = most.max(processes);
    }
    assert_eq!(most, 4);
}

/// With recluster the callback was never called, and the broken version started again for ever.
#[tokio::test]
async fn a_broken_version_is_told_while_the_old_one_serves_everybody() {
    let directory = short_directory();
    let name = directory.path().join("program");
    deploy(&misbehaving(), &name);
    let trial = workers_of(&name, &["serve"])
        .workers(3)
        .listening()
        .ready()
        .await;
    let elders = trial.pids().await;
    let clients = Clients::come_to(&trial);

    let broken = "#!/bin/sh\n(echo wrong; echo see the manual) >&2\nexit 78\n";
    deploy(&script(directory.path(), broken), &name);
    for strategy in [ReloadStrategy::AllAtOnce, ReloadStrategy::Rolling] {
        let error = trial.workers.reload(strategy).await.unwrap_err();
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
        let end = "exited with status 78; its last output:\n    wrong\n    see the manual\n\
                   the old workers keep running";
        assert!(text.ends_with(end), "{text}");
    }
    assert_eq!(trial.pids().await, elders);
    clients.were_all_answered().await;
}

#[tokio::test]
async fn a_version_that_never_gets_ready_is_told_and_gone() {
    let directory = short_directory();
    let name = directory.path().join("program");
    deploy(&misbehaving(), &name);
    let trial = workers_of(&name, &["serve"])
        .listening()
        .with(|it| it.ready_timeout(3 * SECOND))
        .ready()
        .await;
    let elders = trial.pids().await;
    let hangs = "#!/bin/sh\necho it waits >&2\nexec sleep 600\n";
    deploy(&script(directory.path(), hangs), &name);
    let error = trial
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
    trial
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
    assert_eq!(trial.pids().await, elders);
}

/// With recluster two of them left a slot without a worker for good.
#[tokio::test]
async fn all_who_ask_for_a_reload_while_one_runs_share_the_next_and_are_answered() {
    let trial = workers_that(&["after=1000", "ready", "wait"])
        .workers(2)
        .ready()
        .await;
    let first = trial
        .workers
        .start_reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    assert!(!first.is_queued());
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(
            trial
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
    // The two workers of the first and of the second one, and no others.
    let exited = |event: &SupervisorEvent| matches!(event, SupervisorEvent::Exited { .. });
    trial.events.times(4, exited).await;
    let begun = trial
        .events
        .count(|it| matches!(it, SupervisorEvent::Reloading { .. }));
    assert_eq!(begun, 2);
    let status = trial.workers.status().await.unwrap();
    let states: Vec<_> = status.workers.iter().map(|it| it.state).collect();
    assert_eq!(states, [WorkerState::Ready; 2]);
}

#[tokio::test]
async fn a_reload_ends_with_the_supervisor() {
    let trial = workers_that(&["ready", "wait"]).ready().await;
    let pid = trial.pids().await[0];
    let reload = trial
        .workers
        .start_reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    let stopped = trial.workers.stop().await;
    assert!(stopped.is_clean());
    // It may have been done before.
    if let Err(error) = reload.await {
        assert_eq!(error, ReloadError::Stopping);
    }
    assert!(!runs(pid));
}

#[tokio::test]
async fn a_slot_that_was_given_up_comes_back_with_a_good_version() {
    let directory = short_directory();
    let name = directory.path().join("program");
    let good = misbehaving();
    let half = format!(
        "#!/bin/sh\n[ $WORKER_ID = 0 ] && exit 1\nexec {} ready wait\n",
        good.display()
    );
    deploy(&script(directory.path(), &half), &name);
    let trial = workers_of(&name, &["ready", "wait"])
        .workers(2)
        .with(|it| it.crash_loop(2, PATIENCE))
        .start()
        .await;
    let all_failed =
        |event: &SupervisorEvent| matches!(event, SupervisorEvent::SlotFailed { slot: 0, .. });
    trial.events.first(all_failed).await;
    let status = trial.workers.status().await.unwrap();
    assert_eq!(status.workers[0].state, WorkerState::Failed);

    deploy(&good, &name);
    trial
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    trial.is_ready().await;
}

#[tokio::test]
async fn nobody_is_refused_while_workers_are_replaced_and_killed() {
    let trial = workers_that(&["serve"])
        .workers(3)
        .listening()
        .ready()
        .await;
    let clients = Clients::come_to(&trial);
    for strategy in [ReloadStrategy::AllAtOnce, ReloadStrategy::Rolling]
        .into_iter()
        .cycle()
        .take(10)
    {
        trial.workers.reload(strategy).await.unwrap();
        // As long as it serves somebody one that ends takes its time.
        trial.is_ready().await;
    }
    clients.were_all_answered().await;
}

/// Clients who come, ask once, and leave, until they are asked how it was.
struct Clients {
    stopping: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Clients {
    fn come_to(trial: &Trial) -> Self {
        let stopping = Arc::<AtomicBool>::default();
        let answered = Arc::<AtomicUsize>::default();
        let (stops, count, address) = (
            Arc::clone(&stopping),
            Arc::clone(&answered),
            trial.address(),
        );
        let task = tokio::spawn(async move {
            while !stops.load(Relaxed) {
                // A panic here is a client who was refused, or cut off.
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

    async fn were_all_answered(self) {
        eventually("somebody was answered", || {
            self.answered.load(Relaxed) > 0 || self.task.is_finished()
        })
        .await;
        self.stopping.store(true, Relaxed);
        self.task.await.unwrap();
    }
}

/// An elder that is killed in a reload is not waited for.
#[tokio::test]
async fn an_elder_may_die_while_its_successor_starts() {
    let trial = workers_that(&["after=300", "ready", "wait"]).ready().await;
    let elder = trial.pids().await[0];
    let reload = trial
        .workers
        .start_reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    kill(elder, Signal::KILL);
    reload.await.unwrap();
    trial.is_ready().await;
}
