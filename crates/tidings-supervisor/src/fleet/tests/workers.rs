//! Starts, readiness and stops of workers.

use super::*;

#[test]
fn each_slot_gets_a_worker_at_once() {
    let mut test = FleetTest::start(policy(3));
    let slots: Vec<_> = test.starts().into_iter().map(|(_, slot)| slot).collect();
    assert_eq!(slots, [0, 1, 2]);
    assert_eq!(test.states(), [WorkerState::Starting; 3]);
}

#[test]
fn all_workers_are_ready_when_each_has_notified() {
    let mut test = FleetTest::start(policy(2));
    test.make_ready(Key(0));
    assert!(!test.fleet.are_all_ready());
    test.make_ready(Key(1));
    assert!(test.fleet.are_all_ready());
    assert_eq!(test.states(), [WorkerState::Ready; 2]);
    let after = Duration::ZERO;
    let (slot, pid) = (1, 101);
    let last = [
        SupervisorEvent::Ready { slot, pid, after },
        SupervisorEvent::AllReady,
    ];
    assert!(test.events.ends_with(&last), "{:?}", test.events);
}

#[test]
fn all_ready_is_reported_each_time_it_becomes_true() {
    let mut test = FleetTest::with_all_ready(policy(2));
    let second = test.die_and_restart(Key(0));
    test.make_ready(second);
    test.scale(3);
    test.make_ready(Key(3));
    let all_ready = |event: &SupervisorEvent| *event == SupervisorEvent::AllReady;
    assert_eq!(test.count(all_ready), 2);
    // During a reload they stay ready.
    test.reload(ReloadStrategy::AllAtOnce);
    (4..7).map(Key).for_each(|key| test.make_ready(key));
    assert_eq!(test.count(all_ready), 2);
}

#[test]
fn a_worker_is_ready_after_the_uptime() {
    let ready_when = ReadyWhen::After(5 * SECOND);
    let mut test = FleetTest::start(Policy {
        ready_when,
        ..policy(1)
    });
    test.start_process(Key(0));
    test.advance(just_under(5 * SECOND));
    assert!(!test.fleet.are_all_ready());
    test.advance(MS);
    assert!(test.fleet.are_all_ready());
}

#[test]
fn the_uptime_does_not_count_before_the_process_runs() {
    let ready_when = ReadyWhen::After(5 * SECOND);
    let mut test = FleetTest::start(Policy {
        ready_when,
        ..policy(1)
    });
    test.advance(5 * SECOND);
    assert!(!test.fleet.are_all_ready());
}

#[test]
fn a_worker_that_is_not_ready_in_time_is_stopped_and_counts_as_dead() {
    let mut test = FleetTest::start(policy(1));
    test.start_process(Key(0));
    test.actions();
    test.advance(just_under(30 * SECOND));
    assert_eq!(test.actions(), []);
    test.advance(MS);
    assert_eq!(test.actions(), [Action::Terminate(Key(0))]);
    assert_eq!(test.states(), [WorkerState::Backoff, WorkerState::Draining]);
    assert_eq!(test.last_delay(), SECOND);
    assert!(test.events.contains(&SupervisorEvent::NotReady {
        slot: 0,
        pid: Some(100),
        timeout: 30 * SECOND,
        missing: ReadyWhen::Notified.missing(),
    }));

    // Its slot does not wait for its exit.
    test.advance(SECOND);
    assert_eq!(test.started_keys(), [Key(1)]);
    test.advance(9 * SECOND);
    assert_eq!(test.actions(), [Action::Kill(Key(0))]);
}

#[test]
fn a_worker_that_sends_no_watchdog_notification_is_killed_once() {
    let watchdog = Some(4 * SECOND);
    let mut test = FleetTest::with_all_ready(Policy {
        watchdog,
        ..policy(2)
    });
    test.advance(3 * SECOND);
    test.notify(Key(0), Notification::Watchdog);
    test.advance(SECOND);
    assert_eq!(test.actions(), [Action::Kill(Key(1))]);
    test.advance(MS);
    assert_eq!(test.actions(), []);
    assert_eq!(
        test.count(|it| matches!(it, SupervisorEvent::WatchdogTimeout { .. })),
        1
    );

    test.exit(Key(1), Exit::Signal(9));
    assert_eq!(test.last_delay(), SECOND);
}

#[test]
fn a_worker_that_announces_its_stop_is_replaced_and_has_the_stop_timeout() {
    let mut test = FleetTest::with_all_ready(policy(1));
    test.notify(Key(0), Notification::Stopping);
    assert_eq!(test.actions(), []);
    assert_eq!(test.states(), [WorkerState::Backoff, WorkerState::Draining]);
    test.advance(SECOND);
    assert_eq!(test.started_keys(), [Key(1)]);
    test.make_ready(Key(1));
    // A second announcement changes nothing.
    test.notify(Key(0), Notification::Stopping);
    assert_eq!(test.states(), [WorkerState::Ready, WorkerState::Draining]);
    test.advance(9 * SECOND);
    assert_eq!(test.actions(), [Action::Kill(Key(0))]);
    test.exit(Key(0), Exit::Signal(9));
    assert_eq!(test.states(), [WorkerState::Ready]);
}

#[test]
fn workers_that_announce_their_stop_at_once_and_drain_slowly_do_not_pile_up() {
    let mut test = FleetTest::with_all_ready(policy(2));
    test.notify(Key(0), Notification::Stopping);
    test.advance(SECOND);
    assert_eq!(test.started_keys(), [Key(2)]);
    test.make_ready(Key(2));
    test.notify(Key(2), Notification::Stopping);
    test.advance(5 * SECOND);
    assert_eq!(test.actions(), []);
    let [draining, ready] = [WorkerState::Draining, WorkerState::Ready];
    let states = [WorkerState::Backoff, draining, draining, ready];
    assert_eq!(test.states(), states);

    // Those of another slot do not count.
    test.notify(Key(1), Notification::Stopping);
    test.advance(SECOND);
    assert_eq!(test.starts(), [(Key(3), 1)]);

    // Either of the two may exit first.
    test.exit(Key(2), Exit::Status(0));
    test.advance(Duration::ZERO);
    assert_eq!(test.starts(), [(Key(4), 0)]);
}

#[test]
fn workers_that_are_not_ready_in_time_and_drain_slowly_do_not_pile_up() {
    let mut test = FleetTest::start(Policy {
        ready_timeout: SECOND,
        ..policy(1)
    });
    for key in (0..2).map(Key) {
        assert_eq!(test.started_keys(), [key]);
        test.start_process(key);
        test.advance(SECOND);
        assert_eq!(test.actions(), [Action::Terminate(key)]);
        test.advance(SECOND);
    }
    test.advance(4 * SECOND);
    assert_eq!(test.actions(), []);

    test.exit(Key(0), Exit::Status(0));
    test.advance(Duration::ZERO);
    assert_eq!(test.started_keys(), [Key(2)]);
}

#[test]
fn a_slot_whose_workers_drain_waits_for_no_longer_than_the_stop_timeout() {
    let mut test = FleetTest::with_all_ready(policy(1));
    test.notify(Key(0), Notification::Stopping);
    test.advance(SECOND);
    assert_eq!(test.started_keys(), [Key(1)]);
    test.make_ready(Key(1));
    test.notify(Key(1), Notification::Stopping);
    test.advance(9 * SECOND);
    assert_eq!(test.actions(), [Action::Kill(Key(0))]);
    test.exit(Key(0), Exit::Signal(9));
    test.advance(Duration::ZERO);
    assert_eq!(test.started_keys(), [Key(2)]);
}

#[test]
fn announced_stops_are_no_deaths() {
    let mut test = FleetTest::with_all_ready(policy(1));
    for key in (0..30).map(Key) {
        test.notify(key, Notification::Stopping);
        test.exit(key, Exit::Status(0));
        assert_eq!(test.last_delay(), SECOND);
        test.advance(SECOND);
        test.make_ready(Key(key.0 + 1));
    }
    assert_eq!(
        test.count(|it| matches!(it, SupervisorEvent::SlotFailed { .. })),
        0
    );
    assert_eq!(test.count(SupervisorEvent::is_warning), 0);
    assert_eq!(test.fleet.status()[0].last_exit, None);
}

#[test]
fn an_announced_stop_with_an_error_is_a_warning() {
    for exit in [Exit::Status(1), Exit::Signal(11)] {
        let mut test = FleetTest::with_all_ready(policy(1));
        test.notify(Key(0), Notification::Stopping);
        test.exit(Key(0), exit.clone());
        assert_eq!(test.count(SupervisorEvent::is_warning), 1);
        assert_eq!(test.fleet.status()[0].last_exit, Some(exit));
    }
}

#[test]
fn an_announced_stop_before_readiness_is_a_death() {
    let crash_loop = CrashLoop {
        deaths: 1,
        within: SECOND,
    };
    let mut test = FleetTest::start(Policy {
        crash_loop,
        ..policy(2)
    });
    test.make_ready(Key(1));
    test.start_process(Key(0));
    test.notify(Key(0), Notification::Stopping);
    test.exit(Key(0), Exit::Status(3));
    let last = test.events.last();
    let Some(SupervisorEvent::SlotFailed {
        exit, last_lines, ..
    }) = last
    else {
        panic!("{last:?}");
    };
    assert_eq!((exit, &*last_lines[0]), (&Exit::Status(3), "last line"));
}

#[test]
fn the_exit_of_a_worker_is_reported() {
    let mut test = FleetTest::with_all_ready(policy(1));
    test.advance(SECOND);
    test.exit(Key(0), Exit::Signal(11));
    assert_eq!(
        test.events[0],
        SupervisorEvent::Exited {
            slot: 0,
            pid: Some(100),
            exit: Exit::Signal(11),
            uptime: SECOND,
            is_expected: false
        }
    );
    let status = &test.fleet.status()[0];
    assert_eq!(status.last_exit, Some(Exit::Signal(11)));
}

#[test]
fn scaling_up_starts_workers_and_scaling_down_stops_the_highest_slots() {
    let mut test = FleetTest::with_all_ready(policy(2));
    test.scale(3);
    assert_eq!(test.starts(), [(Key(2), 2)]);
    test.scale(1);
    let stopped = [Action::Terminate(Key(1)), Action::Terminate(Key(2))];
    assert_eq!(test.actions(), stopped);
    test.die(Key(1));
    test.advance(10 * SECOND);
    assert_eq!(test.actions(), [Action::Kill(Key(2))]);
    assert_eq!(test.fleet.slots(), 1);
}

#[test]
fn an_invalid_number_of_workers_is_rejected() {
    let mut test = FleetTest::with_all_ready(policy(2));
    for workers in [0, super::super::MAX_WORKERS + 1] {
        let rejected = test.fleet.scale(workers);
        assert_eq!(rejected, Err(crate::ScaleError::WorkerCount(workers)));
    }
    test.stop();
    let rejected = test.fleet.scale(1);
    assert_eq!(rejected, Err(crate::ScaleError::Stopping));
}

#[test]
fn the_fleet_has_stopped_when_the_last_worker_has_exited() {
    let mut test = FleetTest::with_all_ready(policy(2));
    test.stop();
    let stopped = [Action::Terminate(Key(0)), Action::Terminate(Key(1))];
    assert_eq!(test.actions(), stopped);
    test.die(Key(0));
    assert_eq!(test.fleet.stopped(), None);
    test.die(Key(1));
    let result = test.fleet.stopped().unwrap();
    assert_eq!((result.killed, result.all_failed), (0, false));
    let (killed, all_failed) = (0, false);
    let last = test.events.last();
    assert_eq!(last, Some(&SupervisorEvent::Stopped { killed, all_failed }));
    assert_eq!(test.actions(), []);
}

#[test]
fn a_worker_that_exceeds_the_stop_timeout_is_killed_once_and_counted() {
    let mut test = FleetTest::with_all_ready(policy(2));
    test.stop();
    test.actions();
    test.die(Key(0));
    test.advance(just_under(10 * SECOND));
    assert_eq!(test.actions(), []);
    test.advance(MS);
    assert_eq!(test.actions(), [Action::Kill(Key(1))]);
    test.advance(100 * SECOND);
    test.fleet.kill();
    test.collect();
    assert_eq!(test.actions(), []);
    assert_eq!(test.fleet.deadline(), None);
    test.exit(Key(1), Exit::Signal(9));
    assert_eq!(test.fleet.stopped().unwrap().killed, 1);
}

#[test]
fn a_second_stop_changes_nothing_and_a_kill_does_not_wait() {
    let mut test = FleetTest::with_all_ready(policy(1));
    test.stop();
    test.stop();
    assert_eq!(test.actions(), [Action::Terminate(Key(0))]);
    test.fleet.kill();
    test.collect();
    assert_eq!(test.actions(), [Action::Kill(Key(0))]);
}

#[test]
fn a_stop_timeout_of_zero_kills_at_once() {
    let stop_timeout = Duration::ZERO;
    let mut test = FleetTest::with_all_ready(Policy {
        stop_timeout,
        ..policy(1)
    });
    test.stop();
    test.advance(Duration::ZERO);
    let actions = [Action::Terminate(Key(0)), Action::Kill(Key(0))];
    assert_eq!(test.actions(), actions);
}
