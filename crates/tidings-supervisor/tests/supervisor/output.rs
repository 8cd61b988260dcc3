//! The output of workers, also with a slow reader.

use std::sync::mpsc::channel;

use rustix::process::Signal;
use tidings_supervisor::{OutputStream, ReloadStrategy, SupervisorEvent};

use super::harness::*;

#[tokio::test]
async fn lines_have_a_slot_a_process_and_a_stream() {
    let supervisor = workers_that(&["print=out", "eprint=err", "ready", "wait"]);
    let supervisor = supervisor.workers(2).ready().await;
    supervisor.lines.times(4, |_| true).await;
    let pids = supervisor.pids().await;
    for line in supervisor.lines.all() {
        assert_eq!(line.pid, pids[line.slot]);
        let text = match line.stream {
            OutputStream::Stdout => "out",
            OutputStream::Stderr => "err",
        };
        assert_eq!(line.text, text);
    }
}

#[tokio::test]
async fn no_output_before_the_death_of_a_worker_is_lost() {
    let steps = ["print=first", "flood=5000", "unended=last line", "exit=1"];
    let supervisor = workers_that(&steps).with(|it| it.crash_loop(1, SECOND));
    let supervisor = supervisor.start().await;
    supervisor.workers.wait_until_stopped().await;
    let texts: Vec<_> = supervisor
        .lines
        .all()
        .into_iter()
        .map(|it| it.text)
        .collect();
    assert_eq!(texts.len(), 5_002);
    assert_eq!(texts[0], "first");
    assert_eq!(texts[4_000 + 1], "4000");
    assert_eq!(texts[5_001], "last line");
    // The event shows the last ones.
    let event = supervisor
        .events
        .first(|it| matches!(it, SupervisorEvent::SlotFailed { .. }))
        .await;
    let SupervisorEvent::SlotFailed { last_lines, .. } = event else {
        unreachable!()
    };
    assert_eq!(last_lines.len(), 10);
    assert_eq!(last_lines[9], "last line");
}

#[tokio::test]
async fn a_long_line_is_split_and_invalid_utf8_is_replaced() {
    let supervisor = workers_that(&["long=200000", "bytes", "print=end", "ready", "wait"]);
    let supervisor = supervisor.ready().await;
    supervisor.says("end").await;
    let texts: Vec<_> = supervisor
        .lines
        .all()
        .into_iter()
        .map(|it| it.text)
        .collect();
    assert!(texts.iter().all(|text| text.len() <= 64 << 10));
    let long: usize = texts
        .iter()
        .filter(|it| it.starts_with('x'))
        .map(String::len)
        .sum();
    assert_eq!(long, 200_000);
    assert!(texts.contains(&"\u{fffd}\u{fffd}".to_owned()));
}

#[tokio::test]
async fn a_blocked_reader_delays_no_restart_reload_or_stop() {
    let (blocked, unblock) = channel::<()>();
    let supervisor = workers_that(&["flood=100", "ready", "wait"])
        .with(|it| {
            it.on_line(move |_| {
                let _ = unblock.recv();
            })
        })
        .workers(2)
        .ready()
        .await;
    let old_workers = supervisor.pids().await;
    kill(old_workers[0], Signal::KILL);
    all_gone(&old_workers[..1]).await;
    let reloaded = supervisor
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    assert_eq!(reloaded.workers, 2);
    all_gone(&old_workers).await;
    let pids = supervisor.pids().await;
    assert!(supervisor.workers.stop().await.is_clean());
    assert!(pids.iter().all(|pid| !runs(*pid)));
    drop(blocked);
}

#[tokio::test]
async fn events_that_do_not_fit_the_queue_are_counted() {
    let (blocked, unblock) = channel::<()>();
    let supervisor = workers_that(&["only=0", "print=wait", "after=300", "ready", "wait"])
        .with(|it| {
            it.on_line(move |_| {
                let _ = unblock.recv();
            })
        })
        .ready()
        .await;
    let mut reloads = Vec::new();
    for _ in 0..2_000 {
        reloads.push(
            supervisor
                .workers
                .start_reload(ReloadStrategy::AllAtOnce)
                .await
                .unwrap(),
        );
    }
    drop(blocked);
    for reload in reloads {
        reload.await.unwrap();
    }
    supervisor
        .events
        .first(|it| matches!(it, SupervisorEvent::EventsDropped { .. }))
        .await;
    let queued = |event: &SupervisorEvent| matches!(event, SupervisorEvent::ReloadQueued);
    let missed = supervisor
        .events
        .all()
        .into_iter()
        .filter_map(|event| match event {
            SupervisorEvent::EventsDropped { events } => Some(events),
            _ => None,
        });
    let missed: u64 = missed.sum();
    assert!(missed + supervisor.events.count(queued) as u64 >= 1_900);
}

#[tokio::test]
async fn a_flood_of_output_drops_no_event() {
    let (take, taken) = channel::<()>();
    let supervisor = workers_that(&["flood=3000", "exit=7"])
        .with(|it| it.crash_loop(3, DEADLINE))
        .lines_after(move || {
            let _ = taken.recv();
        });
    let supervisor = supervisor.start().await;
    supervisor.workers.wait_until_stopped().await;
    drop(take);
    let is_last = |it: &SupervisorEvent| matches!(it, SupervisorEvent::AllSlotsFailed);
    supervisor.events.first(is_last).await;
    let events = &supervisor.events;
    assert_eq!(
        events.count(|it| matches!(it, SupervisorEvent::Exited { .. })),
        3
    );
    assert_eq!(
        events.count(|it| matches!(it, SupervisorEvent::SlotFailed { .. })),
        1
    );
    assert_eq!(
        events.count(|it| matches!(it, SupervisorEvent::EventsDropped { .. })),
        0
    );
}

#[tokio::test]
async fn last_lines_are_the_last_ones_and_dropped_lines_are_counted() {
    let (take, taken) = channel::<()>();
    let supervisor = workers_that(&["flood=5000", "exit=1"])
        .with(|it| it.crash_loop(1, SECOND))
        .lines_after(move || {
            let _ = taken.recv();
        });
    let supervisor = supervisor.start().await;
    supervisor.workers.wait_until_stopped().await;
    drop(take);
    let all_failed = |it: &SupervisorEvent| matches!(it, SupervisorEvent::SlotFailed { .. });
    let SupervisorEvent::SlotFailed { last_lines, .. } = supervisor.events.first(all_failed).await
    else {
        unreachable!()
    };
    assert_eq!(last_lines[9], "4999");
    let missed = supervisor.events.until(|all| {
        all.iter().find_map(|event| match event {
            SupervisorEvent::LinesDropped { lines, .. } => Some(*lines),
            _ => None,
        })
    });
    let missed = missed.await;
    assert!(missed > 0);
    supervisor.lines.times(5_000 - missed, |_| true).await;
}

#[tokio::test]
async fn a_line_of_64_kib_is_whole_and_a_longer_one_has_marked_parts() {
    let supervisor = workers_that(&["long=65536", "long=70000", "print=short", "ready", "wait"]);
    let supervisor = supervisor.ready().await;
    assert!(!supervisor.says("short").await.is_partial);
    let lines = supervisor.lines.all();
    let parts: Vec<_> = lines
        .iter()
        .map(|it| (it.text.len(), it.is_partial))
        .collect();
    let (whole, part) = ((65_536, false), (65_536, true));
    assert_eq!(parts, [whole, part, (4_464, false), (5, false)]);
}
