//! Pauses of the supervisor itself count for no deadline.

use super::*;

const WATCHDOG: Duration = Duration::from_secs(2);

/// Longer than every deadline of these tests.
const PAUSE: Duration = Duration::from_mins(5);

fn watched() -> FleetTest {
    FleetTest::with_all_ready(Policy {
        watchdog: Some(WATCHDOG),
        ..policy(2)
    })
}

fn notify_watchdog(test: &mut FleetTest) {
    for key in [Key(0), Key(1)] {
        test.notify(key, Notification::Watchdog);
    }
}

#[test]
fn the_watchdog_does_not_count_a_pause() {
    let mut test = watched();
    test.advance(SECOND);
    notify_watchdog(&mut test);
    test.pause(PAUSE);
    test.tick();
    test.advance(just_under(SECOND));
    assert_eq!(test.actions(), []);
}

#[test]
fn a_worker_that_hangs_after_a_pause_is_killed() {
    let mut test = watched();
    test.pause(PAUSE);
    test.advance(WATCHDOG);
    assert_eq!(test.actions(), [Action::Kill(Key(0)), Action::Kill(Key(1))]);
}

/// The timer fires before the sockets are read.
#[test]
fn notifications_during_a_pause_count_before_deadlines() {
    let mut test = watched();
    test.advance(just_under(WATCHDOG));
    test.pause(PAUSE);
    test.tick();
    assert_eq!(test.actions(), []);
    notify_watchdog(&mut test);
    test.advance(SECOND);
    assert_eq!(test.actions(), []);
}

#[test]
fn many_short_pauses_count_no_more_than_one_long_pause() {
    let mut test = watched();
    for _ in 0..15 {
        test.pause(SECOND);
        test.tick();
        test.advance(10 * MS);
    }
    assert_eq!(test.actions(), []);
}

#[test]
fn repeated_pauses_do_not_stop_the_clock() {
    let mut test = watched();
    let expired = (0..100).find(|_| {
        test.pause(SECOND);
        test.tick();
        !test.actions().is_empty()
    });
    assert!(expired.is_some());
}

#[test]
fn the_ready_timeout_does_not_count_a_pause() {
    let mut test = FleetTest::start(policy(1));
    assert_eq!(test.started_keys(), [Key(0)]);
    test.start_process(Key(0));
    test.advance(29 * SECOND);
    test.pause(PAUSE);
    test.tick();
    assert_eq!(test.actions(), []);
    test.notify(Key(0), Notification::Ready);
    assert!(test.fleet.are_all_ready());
}

#[test]
fn a_reload_survives_a_pause() {
    let mut test = FleetTest::with_all_ready(policy(1));
    let (ticket, _) = test.reload(ReloadStrategy::AllAtOnce);
    assert_eq!(test.started_keys(), [Key(1)]);
    test.start_process(Key(1));
    test.advance(SECOND);
    test.pause(PAUSE);
    test.tick();
    assert_eq!(test.actions(), []);

    test.make_ready(Key(1));

    let actions = test.actions();
    assert_eq!(actions[0], Action::Terminate(Key(0)));
    assert!(matches!(&actions[1], Action::Respond(tickets, Ok(_)) if tickets[..] == [ticket]));
}

#[test]
fn the_stop_timeout_does_not_count_a_pause() {
    let mut test = FleetTest::with_all_ready(policy(2));
    test.stop();
    test.actions();
    test.advance(just_under(10 * SECOND));
    test.pause(PAUSE);
    test.tick();
    assert_eq!(test.actions(), []);
    for key in [Key(0), Key(1)] {
        test.exit(key, Exit::Status(0));
    }
    assert_eq!(test.fleet.stopped().unwrap().killed, 0);
}

#[test]
fn a_worker_that_does_not_stop_after_a_pause_is_killed() {
    let mut test = FleetTest::with_all_ready(policy(1));
    test.stop();
    test.actions();
    test.pause(PAUSE);
    test.advance(10 * SECOND);
    assert_eq!(test.actions(), [Action::Kill(Key(0))]);
}

#[test]
fn the_backoff_does_not_count_a_pause() {
    let mut test = FleetTest::with_all_ready(policy(1));
    test.die(Key(0));
    test.pause(PAUSE);
    test.advance(899 * MS);
    assert_eq!(test.actions(), []);
    test.advance(101 * MS);
    assert_eq!(test.started_keys(), [Key(1)]);
}

#[test]
fn the_crash_loop_does_not_count_a_pause() {
    let mut test = FleetTest::with_all_ready(Policy {
        crash_loop: CrashLoop {
            deaths: 3,
            within: 60 * SECOND,
        },
        ..policy(1)
    });
    let second = test.die_and_restart(Key(0));
    test.make_ready(second);
    test.pause(PAUSE);
    let third = test.die_and_restart(second);
    assert_eq!(test.last_delay(), 2 * SECOND);
    test.make_ready(third);
    test.pause(PAUSE);
    test.die(third);
    assert_eq!(
        test.count(|it| matches!(it, SupervisorEvent::SlotFailed { .. })),
        1
    );
}

#[test]
fn the_uptime_for_readiness_does_not_count_a_pause() {
    let mut test = FleetTest::start(Policy {
        ready_when: ReadyWhen::After(5 * SECOND),
        ..policy(1)
    });
    test.start_process(Key(0));
    test.pause(PAUSE);
    test.advance(4 * SECOND);
    assert!(!test.fleet.are_all_ready());
    test.advance(SECOND);
    assert!(test.fleet.are_all_ready());
}

#[test]
fn a_long_pause_is_reported_if_a_deadline_was_awaited() {
    let mut test = watched();
    test.pause(SECOND);
    test.tick();
    assert_eq!(
        test.count(|it| matches!(it, SupervisorEvent::Paused { .. })),
        0
    );
    test.pause(PAUSE);
    test.tick();
    let duration = PAUSE.saturating_sub(100 * MS);
    assert_eq!(
        test.events.last(),
        Some(&SupervisorEvent::Paused { duration })
    );

    let mut idle = FleetTest::with_all_ready(policy(1));
    idle.pause(PAUSE);
    idle.tick();
    assert_eq!(idle.events, []);
}

#[test]
fn the_uptime_of_a_worker_counts_pauses() {
    let mut test = watched();
    test.pause(PAUSE);
    test.tick();
    assert_eq!(test.fleet.status()[0].uptime, PAUSE);
    test.die(Key(0));
    let is_it = |it: &SupervisorEvent| matches!(it, SupervisorEvent::Exited { uptime: it, .. } if *it == PAUSE);
    assert_eq!(test.count(is_it), 1);
}
