//! Reloads.

use super::*;

const TERMINATE: fn(u64) -> Action = |key| Action::Terminate(Key(key));

#[test]
fn old_workers_are_stopped_when_all_new_ones_are_ready_and_not_before() {
    let mut test = FleetTest::with_all_ready(policy(2));
    let (ticket, start) = test.reload(ReloadStrategy::AllAtOnce);
    assert_eq!(start, ReloadStart::Started);
    assert_eq!(test.starts(), [(Key(2), 0), (Key(3), 1)]);

    test.make_ready(Key(3));
    assert_eq!(test.actions(), []);
    test.advance(2 * SECOND);
    test.make_ready(Key(2));

    let done = done(&[ticket], 2, ReloadStrategy::AllAtOnce, 2 * SECOND);
    assert_eq!(test.actions(), [TERMINATE(0), TERMINATE(1), done]);
    assert!(test.fleet.are_all_ready());
    assert!(!test.fleet.is_reloading());
}

#[test]
fn a_rolling_reload_replaces_one_slot_after_the_exit_of_the_old_worker_before() {
    let mut test = FleetTest::with_all_ready(policy(3));
    let (ticket, _) = test.reload(ReloadStrategy::Rolling);
    for slot in 0..2 {
        let started = test.starts();
        assert_eq!(started, [(Key(3 + slot), usize::try_from(slot).unwrap())]);
        test.make_ready(Key(3 + slot));
        test.advance(SECOND);
        assert_eq!(test.actions(), [TERMINATE(slot)]);
        test.exit(Key(slot), Exit::Status(0));
    }
    assert_eq!(test.starts(), [(Key(5), 2)]);
    test.make_ready(Key(5));
    // The exit of the last old worker is not awaited.
    let done = done(&[ticket], 3, ReloadStrategy::Rolling, 2 * SECOND);
    assert_eq!(test.actions(), [TERMINATE(2), done]);
}

#[test]
fn a_rolling_reload_waits_for_the_old_workers_of_the_reload_before_and_no_others() {
    let mut test = FleetTest::with_all_ready(policy(3));
    test.reload(ReloadStrategy::AllAtOnce);
    for key in test.started_keys() {
        test.make_ready(key);
    }
    test.scale(2);
    test.actions();
    test.reload(ReloadStrategy::Rolling);
    test.die(Key(0));
    test.die(Key(1));
    assert_eq!(test.actions(), []);
    test.die(Key(2));
    // The worker of the removed slot is still stopping.
    assert_eq!(test.starts(), [(Key(6), 0)]);
}

#[test]
fn an_old_worker_that_does_not_stop_delays_a_rolling_reload_until_the_stop_timeout() {
    let mut test = FleetTest::with_all_ready(policy(2));
    test.reload(ReloadStrategy::Rolling);
    test.make_ready(Key(2));
    test.actions();
    test.advance(10 * SECOND);
    assert_eq!(test.actions(), [Action::Kill(Key(0))]);
    test.exit(Key(0), Exit::Signal(9));
    assert_eq!(test.starts(), [(Key(3), 1)]);
}

#[test]
fn an_old_worker_that_exceeds_the_stop_timeout_is_killed_once() {
    let mut test = FleetTest::with_all_ready(policy(1));
    test.reload(ReloadStrategy::AllAtOnce);
    test.make_ready(Key(1));
    test.actions();
    test.advance(just_under(10 * SECOND));
    assert_eq!(test.actions(), []);
    test.advance(MS);
    assert_eq!(test.actions(), [Action::Kill(Key(0))]);
    test.advance(SECOND);
    assert_eq!(test.actions(), []);
}

#[test]
fn if_a_new_worker_dies_the_reload_fails_with_the_reason_and_changes_nothing() {
    let mut test = FleetTest::with_all_ready(policy(2));
    let (ticket, _) = test.reload(ReloadStrategy::AllAtOnce);
    test.actions();
    test.make_ready(Key(2));
    test.die(Key(3));

    let error = ReloadError::Exited {
        slot: 1,
        exit: Exit::Status(1),
        last_lines: vec!["last line".to_owned()],
        replaced: 0,
    };
    let actions = [TERMINATE(2), failed(&[ticket], error)];
    assert_eq!(test.actions(), actions);
    let states = [
        WorkerState::Ready,
        WorkerState::Draining,
        WorkerState::Ready,
    ];
    assert_eq!(test.states(), states);
    // The death of a new worker is no death of its slot.
    assert_eq!(
        test.count(|it| matches!(it, SupervisorEvent::Restarting { .. })),
        0
    );
}

#[test]
fn if_a_new_worker_is_not_ready_in_time_the_reload_changes_nothing() {
    let mut test = FleetTest::with_all_ready(policy(2));
    let (ticket, _) = test.reload(ReloadStrategy::AllAtOnce);
    test.actions();
    test.make_ready(Key(2));
    test.start_process(Key(3));
    test.advance(30 * SECOND);

    let error = ReloadError::NotReady {
        slot: 1,
        timeout: 30 * SECOND,
        last_lines: last_lines_of(Key(3)),
        replaced: 0,
    };
    let actions = [TERMINATE(2), TERMINATE(3), failed(&[ticket], error)];
    assert_eq!(test.actions(), actions);
    assert!(test.fleet.are_all_ready());
}

#[test]
fn a_failed_rolling_reload_keeps_and_counts_the_workers_replaced_before() {
    let mut test = FleetTest::with_all_ready(policy(2));
    test.reload(ReloadStrategy::Rolling);
    test.make_ready(Key(2));
    test.die(Key(0));
    test.actions();
    test.die(Key(3));
    let Some(Action::Respond(_, Err(ReloadError::Exited { replaced, .. }))) = test.actions().pop()
    else {
        panic!("the reload failed");
    };
    assert_eq!(replaced, 1);
    assert!(test.fleet.are_all_ready());
}

#[test]
fn a_new_worker_that_hangs_before_the_others_are_ready_fails_the_reload() {
    let watchdog = Some(4 * SECOND);
    let mut test = FleetTest::with_all_ready(Policy {
        watchdog,
        ..policy(2)
    });
    test.reload(ReloadStrategy::AllAtOnce);
    test.make_ready(Key(2));
    test.actions();
    test.advance(3 * SECOND);
    test.notify(Key(0), Notification::Watchdog);
    test.notify(Key(1), Notification::Watchdog);
    test.advance(SECOND);
    assert_eq!(test.actions(), [Action::Kill(Key(2))]);
    assert!(test.fleet.deadline() > Some(test.fleet.now()));
    test.exit(Key(2), Exit::Signal(9));
    let Some(Action::Respond(_, Err(ReloadError::Exited { slot: 0, .. }))) = test.actions().pop()
    else {
        panic!("the reload failed");
    };
}

#[test]
fn requests_during_a_reload_share_the_next_one() {
    let mut test = FleetTest::with_all_ready(policy(1));
    let (first, _) = test.reload(ReloadStrategy::AllAtOnce);
    let (second, start) = test.reload(ReloadStrategy::Rolling);
    assert_eq!(start, ReloadStart::Queued);
    let (third, _) = test.reload(ReloadStrategy::AllAtOnce);
    test.actions();

    // It is all at once, as the third request wants, and both get that in the result.
    test.make_ready(Key(1));
    let start = Action::Start {
        worker: Key(2),
        slot: 0,
    };
    let one = done(&[first], 1, ReloadStrategy::AllAtOnce, Duration::ZERO);
    assert_eq!(test.actions(), [TERMINATE(0), one, start]);
    test.make_ready(Key(2));
    let two = done(
        &[second, third],
        1,
        ReloadStrategy::AllAtOnce,
        Duration::ZERO,
    );
    assert_eq!(test.actions(), [TERMINATE(1), two]);
    assert!(!test.fleet.is_reloading());
}

#[test]
fn a_queued_reload_starts_also_after_a_failed_one() {
    let mut test = FleetTest::with_all_ready(policy(1));
    test.reload(ReloadStrategy::AllAtOnce);
    let (second, _) = test.reload(ReloadStrategy::AllAtOnce);
    test.actions();
    test.die(Key(1));
    let actions = test.actions();
    assert!(
        matches!(actions[0], Action::Respond(_, Err(_))),
        "{actions:?}"
    );
    assert!(matches!(actions[1], Action::Start { .. }), "{actions:?}");
    test.make_ready(Key(2));
    let done = done(&[second], 1, ReloadStrategy::AllAtOnce, Duration::ZERO);
    assert_eq!(test.actions(), [TERMINATE(0), done]);
}

#[test]
fn an_old_worker_that_dies_in_a_reload_is_restarted_until_the_new_one_is_ready() {
    let mut test = FleetTest::with_all_ready(policy(1));
    test.reload(ReloadStrategy::AllAtOnce);
    test.actions();
    test.die(Key(0));
    assert_eq!(test.last_delay(), SECOND);
    test.advance(SECOND);
    assert_eq!(test.starts(), [(Key(2), 0)]);
    test.make_ready(Key(1));
    assert_eq!(test.actions()[0], TERMINATE(2));
    assert_eq!(test.states(), [WorkerState::Ready, WorkerState::Draining]);
}

#[test]
fn a_ready_new_worker_ends_the_backoff_of_its_slot() {
    let mut test = FleetTest::with_all_ready(policy(1));
    let (ticket, _) = test.reload(ReloadStrategy::AllAtOnce);
    test.actions();
    test.die(Key(0));
    test.make_ready(Key(1));
    assert_eq!(
        test.actions(),
        [done(
            &[ticket],
            1,
            ReloadStrategy::AllAtOnce,
            Duration::ZERO
        )]
    );
    test.advance(100 * SECOND);
    assert_eq!(test.actions(), []);
}

#[test]
fn slots_added_during_a_reload_are_not_replaced() {
    let mut test = FleetTest::with_all_ready(policy(1));
    let (ticket, _) = test.reload(ReloadStrategy::Rolling);
    test.actions();
    test.scale(2);
    assert_eq!(test.starts(), [(Key(2), 1)]);
    test.make_ready(Key(2));
    test.make_ready(Key(1));
    let done = done(&[ticket], 1, ReloadStrategy::Rolling, Duration::ZERO);
    assert_eq!(test.actions(), [TERMINATE(0), done]);
}

#[test]
fn a_reload_does_not_wait_for_removed_slots() {
    let mut test = FleetTest::with_all_ready(policy(3));
    let (ticket, _) = test.reload(ReloadStrategy::AllAtOnce);
    test.actions();
    test.make_ready(Key(3));
    test.make_ready(Key(4));
    test.scale(2);
    let actions = test.actions();
    let removed = [TERMINATE(5), TERMINATE(2)];
    assert_eq!(actions[..2], removed);
    let replaced = [TERMINATE(0), TERMINATE(1)];
    assert_eq!(actions[2..4], replaced);
    assert_eq!(
        actions[4],
        done(&[ticket], 2, ReloadStrategy::AllAtOnce, Duration::ZERO)
    );
}

#[test]
fn a_stop_fails_running_and_queued_reloads() {
    let mut test = FleetTest::with_all_ready(policy(1));
    let (first, _) = test.reload(ReloadStrategy::AllAtOnce);
    let (second, _) = test.reload(ReloadStrategy::AllAtOnce);
    test.actions();
    test.stop();
    let actions = [
        TERMINATE(1),
        TERMINATE(0),
        failed(&[first], ReloadError::Stopping),
        failed(&[second], ReloadError::Stopping),
    ];
    assert_eq!(test.actions(), actions);

    let (late, _) = test.reload(ReloadStrategy::AllAtOnce);
    assert_eq!(test.actions(), [failed(&[late], ReloadError::Stopping)]);
}

#[test]
fn a_fleet_of_failed_slots_stops_when_its_last_reload_fails() {
    let crash_loop = CrashLoop {
        deaths: 1,
        within: SECOND,
    };
    let mut test = FleetTest::with_all_ready(Policy {
        crash_loop,
        ..policy(2)
    });
    let (ticket, _) = test.reload(ReloadStrategy::AllAtOnce);
    test.actions();
    test.die(Key(0));
    test.die(Key(1));
    assert_eq!(test.states()[0], WorkerState::Failed);
    assert_eq!(test.fleet.stopped(), None);

    test.advance(30 * SECOND);
    let error = ReloadError::NotReady {
        slot: 0,
        timeout: 30 * SECOND,
        last_lines: last_lines_of(Key(2)),
        replaced: 0,
    };
    let actions = [TERMINATE(2), TERMINATE(3), failed(&[ticket], error)];
    assert_eq!(test.actions(), actions);
    test.die(Key(2));
    test.die(Key(3));
    assert!(test.fleet.stopped().unwrap().all_failed);
}
