//! Workers that start, serve and end.

use super::*;

#[test]
fn each_slot_gets_a_worker_at_once() {
    let mut play = Play::begin(policy(3));
    let slots: Vec<_> = play.starts().into_iter().map(|(_, slot)| slot).collect();
    assert_eq!(slots, [0, 1, 2]);
    assert_eq!(play.states(), [WorkerState::Starting; 3]);
}

#[test]
fn all_are_ready_when_each_said_so() {
    let mut play = Play::begin(policy(2));
    play.gets_ready(Key(0));
    assert!(!play.fleet.are_all_ready());
    play.gets_ready(Key(1));
    assert!(play.fleet.are_all_ready());
    assert_eq!(play.states(), [WorkerState::Ready; 2]);
    let after = Duration::ZERO;
    let (slot, pid) = (1, 101);
    let last = [
        SupervisorEvent::Ready { slot, pid, after },
        SupervisorEvent::AllReady,
    ];
    assert!(play.events.ends_with(&last), "{:?}", play.events);
}

#[test]
fn that_all_are_ready_is_said_each_time_it_gets_true() {
    let mut play = Play::with_all_ready(policy(2));
    let second = play.is_respawned(Key(0));
    play.gets_ready(second);
    play.scales(3);
    play.gets_ready(Key(3));
    let all_ready = |event: &SupervisorEvent| *event == SupervisorEvent::AllReady;
    assert_eq!(play.count(all_ready), 2);
    // In a reload they are so all the time.
    play.reloads(ReloadStrategy::AllAtOnce);
    (4..7).map(Key).for_each(|key| play.gets_ready(key));
    assert_eq!(play.count(all_ready), 2);
}

#[test]
fn a_worker_is_ready_when_it_has_lived_for_so_long() {
    let ready_when = ReadyWhen::After(5 * SECOND);
    let mut play = Play::begin(Policy {
        ready_when,
        ..policy(1)
    });
    play.starts_up(Key(0));
    play.passes(just_under(5 * SECOND));
    assert!(!play.fleet.are_all_ready());
    play.passes(MS);
    assert!(play.fleet.are_all_ready());
}

#[test]
fn a_worker_whose_start_takes_long_is_not_ready_by_waiting() {
    let ready_when = ReadyWhen::After(5 * SECOND);
    let mut play = Play::begin(Policy {
        ready_when,
        ..policy(1)
    });
    play.passes(5 * SECOND);
    assert!(!play.fleet.are_all_ready());
}

#[test]
fn a_worker_that_is_not_ready_in_time_is_told_to_end_and_counts_as_dead() {
    let mut play = Play::begin(policy(1));
    play.starts_up(Key(0));
    play.deeds();
    play.passes(just_under(30 * SECOND));
    assert_eq!(play.deeds(), []);
    play.passes(MS);
    assert_eq!(play.deeds(), [Action::Terminate(Key(0))]);
    assert_eq!(play.states(), [WorkerState::Backoff, WorkerState::Draining]);
    assert_eq!(play.last_delay(), SECOND);
    assert!(play.events.contains(&SupervisorEvent::NotReady {
        slot: 0,
        pid: Some(100),
        timeout: 30 * SECOND,
        missing: ReadyWhen::Notified.missing(),
    }));

    // It does not end: that keeps nobody from taking its seat.
    play.passes(SECOND);
    assert_eq!(play.keys(), [Key(1)]);
    play.passes(9 * SECOND);
    assert_eq!(play.deeds(), [Action::Kill(Key(0))]);
}

#[test]
fn a_worker_that_gives_signs_of_life_is_left_alone_and_a_silent_one_killed_once() {
    let watchdog = Some(4 * SECOND);
    let mut play = Play::with_all_ready(Policy {
        watchdog,
        ..policy(2)
    });
    play.passes(3 * SECOND);
    play.says(Key(0), Word::Alive);
    play.passes(SECOND);
    assert_eq!(play.deeds(), [Action::Kill(Key(1))]);
    play.passes(MS);
    assert_eq!(play.deeds(), []);
    assert_eq!(
        play.count(|it| matches!(it, SupervisorEvent::WatchdogTimeout { .. })),
        1
    );

    play.ends(Key(1), Exit::Signal(9));
    assert_eq!(play.last_delay(), SECOND);
}

#[test]
fn a_worker_that_says_it_ends_is_replaced_and_has_the_grace() {
    let mut play = Play::with_all_ready(policy(1));
    play.says(Key(0), Word::Stopping);
    assert_eq!(play.deeds(), []);
    assert_eq!(play.states(), [WorkerState::Backoff, WorkerState::Draining]);
    play.passes(SECOND);
    assert_eq!(play.keys(), [Key(1)]);
    play.gets_ready(Key(1));
    // Said twice, it counts once.
    play.says(Key(0), Word::Stopping);
    assert_eq!(play.states(), [WorkerState::Ready, WorkerState::Draining]);
    play.passes(9 * SECOND);
    assert_eq!(play.deeds(), [Action::Kill(Key(0))]);
    play.ends(Key(0), Exit::Signal(9));
    assert_eq!(play.states(), [WorkerState::Ready]);
}

#[test]
fn a_worker_that_says_it_ends_is_no_death_however_often() {
    let mut play = Play::with_all_ready(policy(1));
    for key in (0..30).map(Key) {
        play.says(key, Word::Stopping);
        play.ends(key, Exit::Status(0));
        assert_eq!(play.last_delay(), SECOND);
        play.passes(SECOND);
        play.gets_ready(Key(key.0 + 1));
    }
    assert_eq!(
        play.count(|it| matches!(it, SupervisorEvent::SlotFailed { .. })),
        0
    );
    assert_eq!(play.count(SupervisorEvent::is_warning), 0);
    assert_eq!(play.fleet.status(play.now)[0].last_exit, None);
}

#[test]
fn a_worker_that_says_it_ends_is_judged_by_how_it_does() {
    for exit in [Exit::Status(1), Exit::Signal(11)] {
        let mut play = Play::with_all_ready(policy(1));
        play.says(Key(0), Word::Stopping);
        play.ends(Key(0), exit.clone());
        assert_eq!(play.count(SupervisorEvent::is_warning), 1);
        assert_eq!(play.fleet.status(play.now)[0].last_exit, Some(exit));
    }
}

#[test]
fn a_worker_that_was_never_ready_and_says_it_ends_dies_when_it_does() {
    let crash_loop = CrashLoop {
        deaths: 1,
        within: SECOND,
    };
    let mut play = Play::begin(Policy {
        crash_loop,
        ..policy(2)
    });
    play.gets_ready(Key(1));
    play.starts_up(Key(0));
    play.says(Key(0), Word::Stopping);
    play.ends(Key(0), Exit::Status(3));
    let last = play.events.last();
    let Some(SupervisorEvent::SlotFailed {
        exit, last_lines, ..
    }) = last
    else {
        panic!("{last:?}");
    };
    assert_eq!((exit, &*last_lines[0]), (&Exit::Status(3), "alas"));
}

#[test]
fn how_a_worker_ended_is_told() {
    let mut play = Play::with_all_ready(policy(1));
    play.passes(SECOND);
    play.ends(Key(0), Exit::Signal(11));
    assert_eq!(
        play.events[0],
        SupervisorEvent::Exited {
            slot: 0,
            pid: Some(100),
            exit: Exit::Signal(11),
            uptime: SECOND,
            is_expected: false
        }
    );
    let status = &play.fleet.status(play.now)[0];
    assert_eq!(status.last_exit, Some(Exit::Signal(11)));
}

#[test]
fn more_slots_start_workers_and_fewer_end_those_with_the_highest_numbers() {
    let mut play = Play::with_all_ready(policy(2));
    play.scales(3);
    assert_eq!(play.starts(), [(Key(2), 2)]);
    play.scales(1);
    let told = [Action::Terminate(Key(1)), Action::Terminate(Key(2))];
    assert_eq!(play.deeds(), told);
    play.dies(Key(1));
    play.passes(10 * SECOND);
    assert_eq!(play.deeds(), [Action::Kill(Key(2))]);
    assert_eq!(play.fleet.slots(), 1);
}

#[test]
fn a_number_of_workers_that_cannot_be_is_refused() {
    let mut play = Play::with_all_ready(policy(2));
    for workers in [0, super::super::MOST + 1] {
        let refused = play.fleet.scale(workers, play.now);
        assert_eq!(refused, Err(crate::ScaleError::WorkerCount(workers)));
    }
    play.is_told_to_end();
    let refused = play.fleet.scale(1, play.now);
    assert_eq!(refused, Err(crate::ScaleError::Stopping));
}

#[test]
fn the_end_comes_when_the_last_worker_is_gone() {
    let mut play = Play::with_all_ready(policy(2));
    play.is_told_to_end();
    let told = [Action::Terminate(Key(0)), Action::Terminate(Key(1))];
    assert_eq!(play.deeds(), told);
    play.dies(Key(0));
    assert_eq!(play.fleet.ended(), None);
    play.dies(Key(1));
    let ending = play.fleet.ended().unwrap();
    assert_eq!((ending.killed, ending.all_failed), (0, false));
    let (killed, all_failed) = (0, false);
    let last = play.events.last();
    assert_eq!(last, Some(&SupervisorEvent::Stopped { killed, all_failed }));
    assert_eq!(play.deeds(), []);
}

#[test]
fn who_does_not_end_within_the_grace_is_killed_exactly_once_and_counted() {
    let mut play = Play::with_all_ready(policy(2));
    play.is_told_to_end();
    play.deeds();
    play.dies(Key(0));
    play.passes(just_under(10 * SECOND));
    assert_eq!(play.deeds(), []);
    play.passes(MS);
    assert_eq!(play.deeds(), [Action::Kill(Key(1))]);
    play.passes(100 * SECOND);
    play.fleet.kill(play.now);
    play.look();
    assert_eq!(play.deeds(), []);
    assert_eq!(play.fleet.deadline(), None);
    play.ends(Key(1), Exit::Signal(9));
    assert_eq!(play.fleet.ended().unwrap().killed, 1);
}

#[test]
fn a_second_order_to_end_changes_nothing_and_one_to_kill_does_not_wait() {
    let mut play = Play::with_all_ready(policy(1));
    play.is_told_to_end();
    play.is_told_to_end();
    assert_eq!(play.deeds(), [Action::Terminate(Key(0))]);
    play.fleet.kill(play.now);
    play.look();
    assert_eq!(play.deeds(), [Action::Kill(Key(0))]);
}

#[test]
fn no_grace_is_none() {
    let stop_timeout = Duration::ZERO;
    let mut play = Play::with_all_ready(Policy {
        stop_timeout,
        ..policy(1)
    });
    play.is_told_to_end();
    play.passes(Duration::ZERO);
    let deeds = [Action::Terminate(Key(0)), Action::Kill(Key(0))];
    assert_eq!(play.deeds(), deeds);
}
