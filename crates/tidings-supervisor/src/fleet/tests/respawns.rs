//! The wait between two workers of a slot, and where it ends.

use super::*;

#[test]
fn each_death_doubles_the_wait_and_it_never_passes_the_longest() {
    let mut play = Play::with_all_ready(policy(1));
    let mut key = Key(0);
    let delays = [1, 2, 4, 8, 8, 8].map(|seconds| {
        key = play.is_respawned(key);
        assert_eq!(play.last_delay(), seconds * SECOND);
        play.last_delay()
    });
    assert_eq!(delays.iter().max(), Some(&(8 * SECOND)));
}

#[test]
fn no_worker_is_started_before_the_wait_is_over() {
    let mut play = Play::with_all_ready(policy(1));
    play.dies(Key(0));
    play.passes(just_under(SECOND));
    assert_eq!(play.deeds(), []);
    play.passes(MS);
    assert_eq!(play.starts(), [(Key(1), 0)]);
    assert_eq!(play.fleet.status(play.now)[0].restarts, 1);
}

#[test]
fn slots_wait_each_for_themselves() {
    let mut play = Play::with_all_ready(policy(3));
    for key in [0, 1, 2].map(Key) {
        play.dies(key);
        assert_eq!(play.last_delay(), SECOND);
    }
}

#[test]
fn a_worker_that_served_for_long_makes_its_slot_forget() {
    let mut play = Play::with_all_ready(policy(1));
    let second = play.is_respawned(Key(0));
    play.gets_ready(second);
    play.passes(just_under(60 * SECOND));
    let third = play.is_respawned(second);
    assert_eq!(play.last_delay(), 2 * SECOND);

    play.gets_ready(third);
    play.passes(60 * SECOND);
    play.is_respawned(third);
    assert_eq!(play.last_delay(), SECOND);
}

#[test]
fn a_wait_has_an_end_after_which_there_is_nothing_to_wait_for() {
    let mut play = Play::with_all_ready(policy(1));
    let second = play.is_respawned(Key(0));
    play.gets_ready(second);
    assert_eq!(play.fleet.deadline(), None);
}

#[test]
fn no_wait_is_none() {
    let backoff = Backoff::default().min_delay(Duration::ZERO);
    let mut play = Play::with_all_ready(Policy {
        backoff,
        ..policy(1)
    });
    play.dies(Key(0));
    assert_eq!(play.fleet.deadline(), Some(play.now));
    play.passes(Duration::ZERO);
    assert_eq!(play.keys(), [Key(1)]);
}

/// Two slots, of which the first is given up.
fn half_given_up() -> Play {
    let crash_loop = CrashLoop {
        deaths: 3,
        within: 60 * SECOND,
    };
    let mut play = Play::with_all_ready(Policy {
        crash_loop,
        ..policy(2)
    });
    let second = play.is_respawned(Key(0));
    let third = play.is_respawned(second);
    play.dies(third);
    play
}

#[test]
fn a_slot_whose_workers_die_too_often_is_given_up_with_what_the_last_one_wrote() {
    let mut play = half_given_up();
    assert_eq!(play.states(), [WorkerState::Failed, WorkerState::Ready]);
    let last = play.events.last();
    let exit = Exit::Status(1);
    let last_lines = vec!["alas".to_owned()];
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
    play.passes(1_000 * SECOND);
    assert_eq!(play.deeds(), []);
    assert_eq!(play.fleet.ended(), None);
}

#[test]
fn a_slot_whose_workers_are_never_ready_is_given_up_with_what_the_last_one_wrote() {
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
    play.passes(30 * SECOND);
    let last = play.events.last();
    let Some(SupervisorEvent::SlotFailed {
        exit, last_lines, ..
    }) = last
    else {
        panic!("{last:?}");
    };
    assert_eq!((exit, last_lines), (&Exit::NotReady, &words_of(Key(0))));
    assert_eq!(
        play.fleet.status(play.now)[0].last_exit,
        Some(Exit::NotReady)
    );
}

#[test]
fn deaths_that_are_far_apart_are_no_crash_loop() {
    let mut play = Play::with_all_ready(Policy {
        crash_loop: CrashLoop {
            deaths: 3,
            within: 60 * SECOND,
        },
        ..policy(1)
    });
    let mut key = Key(0);
    for _ in 0..20 {
        play.passes(30 * SECOND);
        key = play.is_respawned(key);
        play.gets_ready(key);
    }
    assert_eq!(
        play.count(|it| matches!(it, SupervisorEvent::SlotFailed { .. })),
        0
    );
}

#[test]
fn when_all_slots_are_given_up_it_is_over() {
    let mut play = half_given_up();
    let second = play.is_respawned(Key(1));
    let third = play.is_respawned(second);
    play.dies(third);
    let (killed, all_failed) = (0, true);
    let last = [
        SupervisorEvent::AllSlotsFailed,
        SupervisorEvent::Stopped { killed, all_failed },
    ];
    assert!(play.events.ends_with(&last), "{:?}", play.events);
    assert_eq!(
        play.count(|it| matches!(it, SupervisorEvent::SlotFailed { is_last: true, .. })),
        1
    );
    let ending = play.fleet.ended().unwrap();
    assert!(ending.all_failed);
}

#[test]
fn it_is_over_as_well_when_only_slots_that_are_given_up_are_left() {
    let mut play = half_given_up();
    play.scales(1);
    assert_eq!(play.events.last(), Some(&SupervisorEvent::AllSlotsFailed));
    play.ends(Key(1), Exit::Status(0));
    assert!(play.fleet.ended().unwrap().all_failed);
}

#[test]
fn a_reload_revives_what_is_left_and_when_it_fails_it_is_over() {
    let mut play = half_given_up();
    play.deeds();
    play.reloads(ReloadStrategy::AllAtOnce);
    let successors = play.keys();
    play.scales(1);
    assert_eq!(play.fleet.ended(), None);
    play.dies(successors[0]);
    assert_eq!(play.events.last(), Some(&SupervisorEvent::AllSlotsFailed));
}

#[test]
fn it_is_over_as_well_when_the_last_slot_is_given_up_by_the_clock() {
    let crash_loop = CrashLoop {
        deaths: 1,
        within: SECOND,
    };
    let mut play = Play::begin(Policy {
        crash_loop,
        ..policy(3)
    });
    play.dies(Key(1));
    play.dies(Key(2));
    play.deeds();
    play.passes(30 * SECOND);
    assert_eq!(play.deeds(), [Action::Terminate(Key(0))]);
    play.dies(Key(0));
    assert!(play.fleet.ended().unwrap().all_failed);
}

#[test]
fn a_reload_revives_a_slot_that_was_given_up() {
    let mut play = half_given_up();
    play.deeds();
    play.reloads(ReloadStrategy::AllAtOnce);
    for key in play.keys() {
        play.gets_ready(key);
    }
    assert!(play.fleet.are_all_ready());

    // And what was before is forgotten.
    let Action::Terminate(_) = play.deeds()[0] else {
        panic!("the elder of the other slot is told to end");
    };
    let revived = Key(4);
    play.dies(revived);
    assert_eq!(play.last_delay(), SECOND);
}
