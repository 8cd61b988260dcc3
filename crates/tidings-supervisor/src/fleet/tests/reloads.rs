//! Successors and elders.

use super::*;

const TERMINATE: fn(u64) -> Action = |key| Action::Terminate(Key(key));

#[test]
fn all_elders_are_told_to_end_when_all_successors_are_ready_and_not_before() {
    let mut play = Play::with_all_ready(policy(2));
    let (ticket, placed) = play.reloads(ReloadStrategy::AllAtOnce);
    assert_eq!(placed, Placed::Begun);
    assert_eq!(play.starts(), [(Key(2), 0), (Key(3), 1)]);

    play.gets_ready(Key(3));
    assert_eq!(play.deeds(), []);
    play.passes(2 * SECOND);
    play.gets_ready(Key(2));

    let done = done(&[ticket], 2, ReloadStrategy::AllAtOnce, 2 * SECOND);
    assert_eq!(play.deeds(), [TERMINATE(0), TERMINATE(1), done]);
    assert!(play.fleet.are_all_ready());
    assert!(!play.fleet.is_reloading());
}

#[test]
fn a_rolling_reload_replaces_one_after_the_other_when_the_elder_before_is_gone() {
    let mut play = Play::with_all_ready(policy(3));
    let (ticket, _) = play.reloads(ReloadStrategy::Rolling);
    for slot in 0..2 {
        let successor = play.starts();
        assert_eq!(successor, [(Key(3 + slot), usize::try_from(slot).unwrap())]);
        play.gets_ready(Key(3 + slot));
        play.passes(SECOND);
        assert_eq!(play.deeds(), [TERMINATE(slot)]);
        play.ends(Key(slot), Exit::Status(0));
    }
    assert_eq!(play.starts(), [(Key(5), 2)]);
    play.gets_ready(Key(5));
    // The end of the last elder is not waited for.
    let done = done(&[ticket], 3, ReloadStrategy::Rolling, 2 * SECOND);
    assert_eq!(play.deeds(), [TERMINATE(2), done]);
}

#[test]
fn a_rolling_reload_waits_for_those_of_the_one_before_and_for_nobody_else() {
    let mut play = Play::with_all_ready(policy(3));
    play.reloads(ReloadStrategy::AllAtOnce);
    for key in play.keys() {
        play.gets_ready(key);
    }
    play.scales(2);
    play.deeds();
    play.reloads(ReloadStrategy::Rolling);
    play.dies(Key(0));
    play.dies(Key(1));
    assert_eq!(play.deeds(), []);
    play.dies(Key(2));
    // Who left since there are fewer slots now is still there.
    assert_eq!(play.starts(), [(Key(6), 0)]);
}

#[test]
fn an_elder_that_does_not_end_holds_a_rolling_reload_up_for_the_grace() {
    let mut play = Play::with_all_ready(policy(2));
    play.reloads(ReloadStrategy::Rolling);
    play.gets_ready(Key(2));
    play.deeds();
    play.passes(10 * SECOND);
    assert_eq!(play.deeds(), [Action::Kill(Key(0))]);
    play.ends(Key(0), Exit::Signal(9));
    assert_eq!(play.starts(), [(Key(3), 1)]);
}

#[test]
fn an_elder_that_does_not_end_within_the_grace_is_killed_exactly_once() {
    let mut play = Play::with_all_ready(policy(1));
    play.reloads(ReloadStrategy::AllAtOnce);
    play.gets_ready(Key(1));
    play.deeds();
    play.passes(just_under(10 * SECOND));
    assert_eq!(play.deeds(), []);
    play.passes(MS);
    assert_eq!(play.deeds(), [Action::Kill(Key(0))]);
    play.passes(SECOND);
    assert_eq!(play.deeds(), []);
}

#[test]
fn when_a_successor_dies_nothing_has_changed_and_why_is_told() {
    let mut play = Play::with_all_ready(policy(2));
    let (ticket, _) = play.reloads(ReloadStrategy::AllAtOnce);
    play.deeds();
    play.gets_ready(Key(2));
    play.dies(Key(3));

    let error = ReloadError::Exited {
        slot: 1,
        exit: Exit::Status(1),
        last_lines: vec!["alas".to_owned()],
        replaced: 0,
    };
    let deeds = [TERMINATE(2), failed(&[ticket], error)];
    assert_eq!(play.deeds(), deeds);
    let states = [
        WorkerState::Ready,
        WorkerState::Draining,
        WorkerState::Ready,
    ];
    assert_eq!(play.states(), states);
    // What befell successors is nothing that elders pay for.
    assert_eq!(
        play.count(|it| matches!(it, SupervisorEvent::Restarting { .. })),
        0
    );
}

#[test]
fn when_a_successor_is_not_ready_in_time_nothing_has_changed() {
    let mut play = Play::with_all_ready(policy(2));
    let (ticket, _) = play.reloads(ReloadStrategy::AllAtOnce);
    play.deeds();
    play.gets_ready(Key(2));
    play.starts_up(Key(3));
    play.passes(30 * SECOND);

    let error = ReloadError::NotReady {
        slot: 1,
        timeout: 30 * SECOND,
        last_lines: words_of(Key(3)),
        replaced: 0,
    };
    let deeds = [TERMINATE(2), TERMINATE(3), failed(&[ticket], error)];
    assert_eq!(play.deeds(), deeds);
    assert!(play.fleet.are_all_ready());
}

#[test]
fn a_rolling_reload_that_fails_keeps_those_before_and_says_how_many() {
    let mut play = Play::with_all_ready(policy(2));
    play.reloads(ReloadStrategy::Rolling);
    play.gets_ready(Key(2));
    play.dies(Key(0));
    play.deeds();
    play.dies(Key(3));
    let Some(Action::Answer(_, Err(ReloadError::Exited { replaced, .. }))) = play.deeds().pop()
    else {
        panic!("the reload failed");
    };
    assert_eq!(replaced, 1);
    assert!(play.fleet.are_all_ready());
}

#[test]
fn a_successor_that_falls_silent_before_the_others_are_ready_makes_the_reload_fail() {
    let watchdog = Some(4 * SECOND);
    let mut play = Play::with_all_ready(Policy {
        watchdog,
        ..policy(2)
    });
    play.reloads(ReloadStrategy::AllAtOnce);
    play.gets_ready(Key(2));
    play.deeds();
    play.passes(3 * SECOND);
    play.says(Key(0), Word::Alive);
    play.says(Key(1), Word::Alive);
    play.passes(SECOND);
    assert_eq!(play.deeds(), [Action::Kill(Key(2))]);
    assert!(play.fleet.deadline() > Some(play.now));
    play.ends(Key(2), Exit::Signal(9));
    let Some(Action::Answer(_, Err(ReloadError::Exited { slot: 0, .. }))) = play.deeds().pop()
    else {
        panic!("the reload failed");
    };
}

#[test]
fn all_who_ask_during_a_reload_share_the_one_after_it() {
    let mut play = Play::with_all_ready(policy(1));
    let (first, _) = play.reloads(ReloadStrategy::AllAtOnce);
    let (second, placed) = play.reloads(ReloadStrategy::Rolling);
    assert_eq!(placed, Placed::Queued);
    let (third, _) = play.reloads(ReloadStrategy::AllAtOnce);
    play.deeds();

    // It is all at once, as the third asked for, and the second is told so.
    play.gets_ready(Key(1));
    let start = Action::Start {
        worker: Key(2),
        slot: 0,
    };
    let one = done(&[first], 1, ReloadStrategy::AllAtOnce, Duration::ZERO);
    assert_eq!(play.deeds(), [TERMINATE(0), one, start]);
    play.gets_ready(Key(2));
    let two = done(
        &[second, third],
        1,
        ReloadStrategy::AllAtOnce,
        Duration::ZERO,
    );
    assert_eq!(play.deeds(), [TERMINATE(1), two]);
    assert!(!play.fleet.is_reloading());
}

#[test]
fn those_who_wait_for_a_reload_get_theirs_also_when_it_fails() {
    let mut play = Play::with_all_ready(policy(1));
    play.reloads(ReloadStrategy::AllAtOnce);
    let (second, _) = play.reloads(ReloadStrategy::AllAtOnce);
    play.deeds();
    play.dies(Key(1));
    let deeds = play.deeds();
    assert!(matches!(deeds[0], Action::Answer(_, Err(_))), "{deeds:?}");
    assert!(matches!(deeds[1], Action::Start { .. }), "{deeds:?}");
    play.gets_ready(Key(2));
    let done = done(&[second], 1, ReloadStrategy::AllAtOnce, Duration::ZERO);
    assert_eq!(play.deeds(), [TERMINATE(0), done]);
}

#[test]
fn an_elder_that_dies_in_a_reload_is_respawned_until_its_successor_is_ready() {
    let mut play = Play::with_all_ready(policy(1));
    play.reloads(ReloadStrategy::AllAtOnce);
    play.deeds();
    play.dies(Key(0));
    assert_eq!(play.last_delay(), SECOND);
    play.passes(SECOND);
    assert_eq!(play.starts(), [(Key(2), 0)]);
    play.gets_ready(Key(1));
    assert_eq!(play.deeds()[0], TERMINATE(2));
    assert_eq!(play.states(), [WorkerState::Ready, WorkerState::Draining]);
}

#[test]
fn a_successor_that_is_ready_takes_the_seat_of_an_elder_that_waits() {
    let mut play = Play::with_all_ready(policy(1));
    let (ticket, _) = play.reloads(ReloadStrategy::AllAtOnce);
    play.deeds();
    play.dies(Key(0));
    play.gets_ready(Key(1));
    assert_eq!(
        play.deeds(),
        [done(
            &[ticket],
            1,
            ReloadStrategy::AllAtOnce,
            Duration::ZERO
        )]
    );
    play.passes(100 * SECOND);
    assert_eq!(play.deeds(), []);
}

#[test]
fn slots_that_come_in_a_reload_are_new_already() {
    let mut play = Play::with_all_ready(policy(1));
    let (ticket, _) = play.reloads(ReloadStrategy::Rolling);
    play.deeds();
    play.scales(2);
    assert_eq!(play.starts(), [(Key(2), 1)]);
    play.gets_ready(Key(2));
    play.gets_ready(Key(1));
    let done = done(&[ticket], 1, ReloadStrategy::Rolling, Duration::ZERO);
    assert_eq!(play.deeds(), [TERMINATE(0), done]);
}

#[test]
fn a_reload_does_not_wait_for_slots_that_are_gone() {
    let mut play = Play::with_all_ready(policy(3));
    let (ticket, _) = play.reloads(ReloadStrategy::AllAtOnce);
    play.deeds();
    play.gets_ready(Key(3));
    play.gets_ready(Key(4));
    play.scales(2);
    let deeds = play.deeds();
    let gone = [TERMINATE(5), TERMINATE(2)];
    assert_eq!(deeds[..2], gone);
    let replaced = [TERMINATE(0), TERMINATE(1)];
    assert_eq!(deeds[2..4], replaced);
    assert_eq!(
        deeds[4],
        done(&[ticket], 2, ReloadStrategy::AllAtOnce, Duration::ZERO)
    );
}

#[test]
fn the_end_ends_reloads_those_that_wait_as_well() {
    let mut play = Play::with_all_ready(policy(1));
    let (first, _) = play.reloads(ReloadStrategy::AllAtOnce);
    let (second, _) = play.reloads(ReloadStrategy::AllAtOnce);
    play.deeds();
    play.is_told_to_end();
    let deeds = [
        TERMINATE(1),
        TERMINATE(0),
        failed(&[first], ReloadError::Stopping),
        failed(&[second], ReloadError::Stopping),
    ];
    assert_eq!(play.deeds(), deeds);

    let (late, _) = play.reloads(ReloadStrategy::AllAtOnce);
    assert_eq!(play.deeds(), [failed(&[late], ReloadError::Stopping)]);
}

#[test]
fn a_fleet_that_was_given_up_ends_when_its_last_reload_fails() {
    let crash_loop = CrashLoop {
        deaths: 1,
        within: SECOND,
    };
    let mut play = Play::with_all_ready(Policy {
        crash_loop,
        ..policy(2)
    });
    let (ticket, _) = play.reloads(ReloadStrategy::AllAtOnce);
    play.deeds();
    play.dies(Key(0));
    play.dies(Key(1));
    assert_eq!(play.states()[0], WorkerState::Failed);
    assert_eq!(play.fleet.ended(), None);

    play.passes(30 * SECOND);
    let error = ReloadError::NotReady {
        slot: 0,
        timeout: 30 * SECOND,
        last_lines: words_of(Key(2)),
        replaced: 0,
    };
    let deeds = [TERMINATE(2), TERMINATE(3), failed(&[ticket], error)];
    assert_eq!(play.deeds(), deeds);
    play.dies(Key(2));
    play.dies(Key(3));
    assert!(play.fleet.ended().unwrap().all_failed);
}
