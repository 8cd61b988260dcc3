//! What workers write, and who is slow to read it.

use std::sync::mpsc::channel;

use rustix::process::Signal;
use tidings_supervisor::{OutputStream, ReloadStrategy, SupervisorEvent};

use super::harness::*;

#[tokio::test]
async fn lines_come_with_their_slot_process_and_stream() {
    let trial = workers_that(&["say=out", "complain=err", "ready", "wait"]);
    let trial = trial.workers(2).ready().await;
    trial.lines.times(4, |_| true).await;
    let pids = trial.pids().await;
    for line in trial.lines.all() {
        assert_eq!(line.pid, pids[line.slot]);
        let text = match line.stream {
            OutputStream::Stdout => "out",
            OutputStream::Stderr => "err",
        };
        assert_eq!(line.text, text);
    }
}

#[tokio::test]
async fn nothing_is_lost_of_what_a_worker_wrote_before_it_died() {
    let steps = ["say=first", "flood=5000", "unended=last words", "exit=1"];
    let trial = workers_that(&steps).with(|it| it.crash_loop(1, SECOND));
    let trial = trial.start().await;
    trial.workers.wait_until_stopped().await;
    let texts: Vec<_> = trial.lines.all().into_iter().map(|it| it.text).collect();
    assert_eq!(texts.len(), 5_002);
    assert_eq!(texts[0], "first");
    assert_eq!(texts[4_000 + 1], "4000");
    assert_eq!(texts[5_001], "last words");
    // What the event shows are the last ones.
    let event = trial
        .events
        .first(|it| matches!(it, SupervisorEvent::SlotFailed { .. }))
        .await;
    let SupervisorEvent::SlotFailed { last_lines, .. } = event else {
        unreachable!()
    };
    assert_eq!(last_lines.len(), 10);
    assert_eq!(last_lines[9], "last words");
}

#[tokio::test]
async fn a_line_without_end_comes_in_parts_and_what_is_no_text_is_replaced() {
    let trial = workers_that(&["long=200000", "bytes", "say=end", "ready", "wait"]);
    let trial = trial.ready().await;
    trial.says("end").await;
    let texts: Vec<_> = trial.lines.all().into_iter().map(|it| it.text).collect();
    assert!(texts.iter().all(|text| text.len() <= 64 << 10));
    let long: usize = texts
        .iter()
        .filter(|it| it.starts_with('x'))
        .map(String::len)
        .sum();
    assert_eq!(long, 200_000);
    assert!(texts.contains(&"\u{fffd}\u{fffd}".to_owned()));
}

/// A reader that does not come back keeps the output waiting, and nothing else.
#[tokio::test]
async fn whoever_does_not_read_stops_neither_respawns_nor_reloads_nor_the_end() {
    let (blocked, unblock) = channel::<()>();
    let trial = workers_that(&["flood=100", "ready", "wait"])
        .with(|it| {
            it.on_line(move |_| {
                let _ = unblock.recv();
            })
        })
        .workers(2)
        .ready()
        .await;
    let elders = trial.pids().await;
    kill(elders[0], Signal::KILL);
    all_gone(&elders[..1]).await;
    let reloaded = trial
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    assert_eq!(reloaded.workers, 2);
    all_gone(&elders).await;
    let pids = trial.pids().await;
    assert!(trial.workers.stop().await.is_clean());
    assert!(pids.iter().all(|pid| !runs(*pid)));
    drop(blocked);
}

/// Whoever reads late is told how much is missing.
#[tokio::test]
async fn reports_for_which_there_is_no_room_are_counted() {
    let (blocked, unblock) = channel::<()>();
    let trial = workers_that(&["only=0", "say=wait", "after=300", "ready", "wait"])
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
            trial
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
    trial
        .events
        .first(|it| matches!(it, SupervisorEvent::EventsDropped { .. }))
        .await;
    let queued = |event: &SupervisorEvent| matches!(event, SupervisorEvent::ReloadQueued);
    let missed = trial
        .events
        .all()
        .into_iter()
        .filter_map(|event| match event {
            SupervisorEvent::EventsDropped { events } => Some(events),
            _ => None,
        });
    let missed: u64 = missed.sum();
    assert!(missed + trial.events.count(queued) as u64 >= 1_900);
}

/// Seen: a slot given up without exit status and reason, because its workers had flooded.
#[tokio::test]
async fn no_report_is_missed_however_much_workers_write() {
    let (take, taken) = channel::<()>();
    let trial = workers_that(&["flood=3000", "exit=7"])
        .with(|it| it.crash_loop(3, PATIENCE))
        .lines_after(move || {
            let _ = taken.recv();
        });
    let trial = trial.start().await;
    trial.workers.wait_until_stopped().await;
    drop(take);
    let is_last = |it: &SupervisorEvent| matches!(it, SupervisorEvent::AllSlotsFailed);
    trial.events.first(is_last).await;
    let events = &trial.events;
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
async fn last_lines_are_the_last_ones_and_those_that_nobody_took_are_counted() {
    let (take, taken) = channel::<()>();
    let trial = workers_that(&["flood=5000", "exit=1"])
        .with(|it| it.crash_loop(1, SECOND))
        .lines_after(move || {
            let _ = taken.recv();
        });
    let trial = trial.start().await;
    trial.workers.wait_until_stopped().await;
    drop(take);
    let all_failed = |it: &SupervisorEvent| matches!(it, SupervisorEvent::SlotFailed { .. });
    let SupervisorEvent::SlotFailed { last_lines, .. } = trial.events.first(all_failed).await
    else {
        unreachable!()
    };
    assert_eq!(last_lines[9], "4999");
    let missed = trial.events.until(|all| {
        all.iter().find_map(|event| match event {
            SupervisorEvent::LinesDropped { lines, .. } => Some(*lines),
            _ => None,
        })
    });
    let missed = missed.await;
    assert!(missed > 0);
    trial.lines.times(5_000 - missed, |_| true).await;
}

#[tokio::test]
async fn a_line_of_64_kib_is_whole_and_a_longer_one_says_what_is_only_a_part() {
    let trial = workers_that(&["long=65536", "long=70000", "say=short", "ready", "wait"]);
    let trial = trial.ready().await;
    assert!(!trial.says("short").await.is_partial);
    let lines = trial.lines.all();
    let parts: Vec<_> = lines
        .iter()
        .map(|it| (it.text.len(), it.is_partial))
        .collect();
    let (whole, part) = ((65_536, false), (65_536, true));
    assert_eq!(parts, [whole, part, (4_464, false), (5, false)]);
}
