//! Restarts with a backoff, and failed slots.

use super::*;

#[test]
fn each_death_doubles_the_delay_up_to_the_maximum() {
    let mut test = FleetTest::with_all_ready(policy(1));
    let mut key = Key(0);
    let delays = [1, 2, 4, 8, 8, 8].map(|seconds| {
        key = test.die_and_restart(key);
        assert_eq!(test.last_delay(), seconds * SECOND);
        test.last_delay()
    });
    assert_eq!(delays.iter().max(), Some(&(8 * SECOND)));
}

#[test]
fn no_worker_is_started_before_the_end_of_the_delay() {
    let mut test = FleetTest::with_all_ready(policy(1));
    test.die(Key(0));
    test.advance(just_under(SECOND));
    assert_eq!(test.actions(), []);
    test.advance(MS);
    assert_eq!(test.starts(), [(Key(1), 0)]);
    assert_eq!(test.fleet.status()[0].restarts, 1);
}

#[test]
fn each_slot_has_its_own_backoff() {
    let mut test = FleetTest::with_all_ready(policy(3));
    for key in [0, 1, 2].map(Key) {
        test.die(key);
        assert_eq!(test.last_delay(), SECOND);
    }
}

#[test]
fn a_worker_that_was_ready_for_long_resets_the_backoff() {
    let mut test = FleetTest::with_all_ready(policy(1));
    let second = test.die_and_restart(Key(0));
    test.make_ready(second);
    test.advance(just_under(60 * SECOND));
    let third = test.die_and_restart(second);
    assert_eq!(test.last_delay(), 2 * SECOND);

    test.make_ready(third);
    test.advance(60 * SECOND);
    test.die_and_restart(third);
    assert_eq!(test.last_delay(), SECOND);
}

#[test]
fn there_is_no_deadline_after_a_restart() {
    let mut test = FleetTest::with_all_ready(policy(1));
    let second = test.die_and_restart(Key(0));
    test.make_ready(second);
    assert_eq!(test.fleet.deadline(), None);
}

#[test]
fn a_delay_of_zero_restarts_at_once() {
    let backoff = Backoff::default().min_delay(Duration::ZERO);
    let mut test = FleetTest::with_all_ready(Policy {
        backoff,
        ..policy(1)
    });
    test.die(Key(0));
    assert_eq!(test.fleet.deadline(), Some(test.fleet.now()));
    test.advance(Duration::ZERO);
    assert_eq!(test.started_keys(), [Key(1)]);
}

/// Returns a fleet of two slots, of which the first has failed.
fn half_failed() -> FleetTest {
    let crash_loop = CrashLoop {
        deaths: 3,
        within: 60 * SECOND,
    };
    let mut test = FleetTest::with_all_ready(Policy {
        crash_loop,
        ..policy(2)
    });
    let second = test.die_and_restart(Key(0));
    let third = test.die_and_restart(second);
    test.die(third);
    test
}

#[test]
fn a_slot_whose_workers_die_too_often_fails_and_reports_the_last_lines() {
    let mut test = half_failed();
    assert_eq!(test.states(), [WorkerState::Failed, WorkerState::Ready]);
    let last = test.events.last();
    let exit = Exit::Status(1);
    let last_lines = vec!["last line".to_owned()];
    let (slot, deaths, within) = (0, 3, 60 * SECOND);
    assert_eq!(
        last,
        Some(&SupervisorEvent::SlotFailed {
            slot,
            is_last: false,
            deaths,
            within,
            exit,
            last_lines
        })
    );
    test.advance(1_000 * SECOND);
    assert_eq!(test.actions(), []);
    assert_eq!(test.fleet.stopped(), None);
}

#[test]
fn a_slot_whose_workers_are_never_ready_fails_and_reports_the_last_lines() {
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
    test.advance(30 * SECOND);
    let last = test.events.last();
    let Some(SupervisorEvent::SlotFailed {
        exit, last_lines, ..
    }) = last
    else {
        panic!("{last:?}");
    };
    assert_eq!(
        (exit, last_lines),
        (&Exit::NotReady, &last_lines_of(Key(0)))
    );
    assert_eq!(test.fleet.status()[0].last_exit, Some(Exit::NotReady));
}

#[test]
fn a_slot_with_rare_deaths_does_not_fail() {
    let mut test = FleetTest::with_all_ready(Policy {
        crash_loop: CrashLoop {
            deaths: 3,
            within: 60 * SECOND,
        },
        ..policy(1)
    });
    let mut key = Key(0);
    for _ in 0..20 {
        test.advance(30 * SECOND);
        key = test.die_and_restart(key);
        test.make_ready(key);
    }
    assert_eq!(
        test.count(|it| matches!(it, SupervisorEvent::SlotFailed { .. })),
        0
    );
}

#[test]
fn the_fleet_stops_when_all_slots_have_failed() {
    let mut test = half_failed();
    let second = test.die_and_restart(Key(1));
    let third = test.die_and_restart(second);
    test.die(third);
    let (killed, all_failed) = (0, true);
    let last = [
        SupervisorEvent::AllSlotsFailed,
        SupervisorEvent::Stopped { killed, all_failed },
    ];
    assert!(test.events.ends_with(&last), "{:?}", test.events);
    assert_eq!(
        test.count(|it| matches!(it, SupervisorEvent::SlotFailed { is_last: true, .. })),
        1
    );
    let stopped = test.fleet.stopped().unwrap();
    assert!(stopped.all_failed);
}

#[test]
fn the_fleet_stops_when_only_failed_slots_are_left() {
    let mut test = half_failed();
    test.scale(1);
    assert_eq!(test.events.last(), Some(&SupervisorEvent::AllSlotsFailed));
    test.exit(Key(1), Exit::Status(0));
    assert!(test.fleet.stopped().unwrap().all_failed);
}

#[test]
fn the_fleet_stops_when_a_reload_of_failed_slots_fails() {
    let mut test = half_failed();
    test.actions();
    test.reload(ReloadStrategy::AllAtOnce);
    let new_workers = test.started_keys();
    test.scale(1);
    assert_eq!(test.fleet.stopped(), None);
    test.die(new_workers[0]);
    assert_eq!(test.events.last(), Some(&SupervisorEvent::AllSlotsFailed));
}

#[test]
fn the_fleet_stops_when_the_last_slot_fails_by_the_ready_timeout() {
    let crash_loop = CrashLoop {
        deaths: 1,
        within: SECOND,
    };
    let mut test = FleetTest::start(Policy {
        crash_loop,
        ..policy(3)
    });
    test.die(Key(1));
    test.die(Key(2));
    test.actions();
    test.advance(30 * SECOND);
    assert_eq!(test.actions(), [Action::Terminate(Key(0))]);
    test.die(Key(0));
    assert!(test.fleet.stopped().unwrap().all_failed);
}

#[test]
fn a_reload_revives_a_failed_slot() {
    let mut test = half_failed();
    test.actions();
    test.reload(ReloadStrategy::AllAtOnce);
    for key in test.started_keys() {
        test.make_ready(key);
    }
    assert!(test.fleet.are_all_ready());

    // Its earlier deaths are forgotten.
    let Action::Terminate(_) = test.actions()[0] else {
        panic!("the old worker of the other slot is stopped");
    };
    let revived = Key(4);
    test.die(revived);
    assert_eq!(test.last_delay(), SECOND);
}
