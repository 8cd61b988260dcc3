//! A pause of the supervisor itself counts against nobody.

use super::*;

const WATCHDOG: Duration = Duration::from_secs(2);

/// Longer than every deadline of these tests.
const PAUSE: Duration = Duration::from_mins(5);

fn watched() -> Play {
    Play::with_all_ready(Policy {
        watchdog: Some(WATCHDOG),
        ..policy(2)
    })
}

fn all_alive(play: &mut Play) {
    for key in [Key(0), Key(1)] {
        play.says(key, Word::Alive);
    }
}

#[test]
fn workers_are_not_silent_while_the_supervisor_is_paused() {
    let mut play = watched();
    play.passes(SECOND);
    all_alive(&mut play);
    play.is_paused(PAUSE);
    play.ticks();
    play.passes(just_under(SECOND));
    assert_eq!(play.deeds(), []);
}

#[test]
fn a_worker_that_stays_silent_after_a_pause_is_killed() {
    let mut play = watched();
    play.is_paused(PAUSE);
    play.passes(WATCHDOG);
    assert_eq!(play.deeds(), [Action::Kill(Key(0)), Action::Kill(Key(1))]);
}

/// The timer fires before anybody has looked at the sockets.
#[test]
fn what_a_worker_said_during_a_pause_counts_before_the_clock() {
    let mut play = watched();
    play.passes(just_under(WATCHDOG));
    play.is_paused(PAUSE);
    play.ticks();
    assert_eq!(play.deeds(), []);
    all_alive(&mut play);
    play.passes(SECOND);
    assert_eq!(play.deeds(), []);
}

#[test]
fn many_short_pauses_count_no_more_than_one_long_pause() {
    let mut play = watched();
    for _ in 0..15 {
        play.is_paused(SECOND);
        play.ticks();
        play.passes(10 * MS);
    }
    assert_eq!(play.deeds(), []);
}

#[test]
fn one_pause_after_another_does_not_stop_the_clock() {
    let mut play = watched();
    let looks = (0..100).find(|_| {
        play.is_paused(SECOND);
        play.ticks();
        !play.deeds().is_empty()
    });
    assert!(looks.is_some());
}

#[test]
fn a_worker_has_all_its_time_to_get_ready_when_the_supervisor_is_paused() {
    let mut play = Play::begin(policy(1));
    assert_eq!(play.keys(), [Key(0)]);
    play.starts_up(Key(0));
    play.passes(29 * SECOND);
    play.is_paused(PAUSE);
    play.ticks();
    assert_eq!(play.deeds(), []);
    play.says(Key(0), Word::Ready);
    assert!(play.fleet.are_all_ready());
}

#[test]
fn a_reload_survives_a_pause() {
    let mut play = Play::with_all_ready(policy(1));
    let (ticket, _) = play.reloads(ReloadStrategy::AllAtOnce);
    assert_eq!(play.keys(), [Key(1)]);
    play.starts_up(Key(1));
    play.passes(SECOND);
    play.is_paused(PAUSE);
    play.ticks();
    assert_eq!(play.deeds(), []);

    play.gets_ready(Key(1));

    let deeds = play.deeds();
    assert_eq!(deeds[0], Action::Terminate(Key(0)));
    assert!(matches!(&deeds[1], Action::Answer(tickets, Ok(_)) if tickets[..] == [ticket]));
}

#[test]
fn workers_that_end_have_all_their_grace_when_the_supervisor_is_paused() {
    let mut play = Play::with_all_ready(policy(2));
    play.is_told_to_end();
    play.deeds();
    play.passes(just_under(10 * SECOND));
    play.is_paused(PAUSE);
    play.ticks();
    assert_eq!(play.deeds(), []);
    for key in [Key(0), Key(1)] {
        play.ends(key, Exit::Status(0));
    }
    assert_eq!(play.fleet.ended().unwrap().killed, 0);
}

#[test]
fn a_worker_that_does_not_end_after_a_pause_is_killed() {
    let mut play = Play::with_all_ready(policy(1));
    play.is_told_to_end();
    play.deeds();
    play.is_paused(PAUSE);
    play.passes(10 * SECOND);
    assert_eq!(play.deeds(), [Action::Kill(Key(0))]);
}

#[test]
fn the_wait_after_a_death_is_as_long_with_a_pause_in_it() {
    let mut play = Play::with_all_ready(policy(1));
    play.dies(Key(0));
    play.is_paused(PAUSE);
    play.passes(899 * MS);
    assert_eq!(play.deeds(), []);
    play.passes(101 * MS);
    assert_eq!(play.keys(), [Key(1)]);
}

#[test]
fn a_pause_makes_no_slot_forget_its_deaths() {
    let mut play = Play::with_all_ready(Policy {
        crash_loop: CrashLoop {
            deaths: 3,
            within: 60 * SECOND,
        },
        ..policy(1)
    });
    let second = play.is_respawned(Key(0));
    play.gets_ready(second);
    play.is_paused(PAUSE);
    let third = play.is_respawned(second);
    assert_eq!(play.last_delay(), 2 * SECOND);
    play.gets_ready(third);
    play.is_paused(PAUSE);
    play.dies(third);
    assert_eq!(
        play.count(|it| matches!(it, SupervisorEvent::SlotFailed { .. })),
        1
    );
}

#[test]
fn a_worker_is_ready_after_its_time_without_the_pauses() {
    let mut play = Play::begin(Policy {
        ready_when: ReadyWhen::After(5 * SECOND),
        ..policy(1)
    });
    play.starts_up(Key(0));
    play.is_paused(PAUSE);
    play.passes(4 * SECOND);
    assert!(!play.fleet.are_all_ready());
    play.passes(SECOND);
    assert!(play.fleet.are_all_ready());
}

#[test]
fn a_pause_is_reported_where_something_was_due_and_long_enough_to_matter() {
    let mut play = watched();
    play.is_paused(SECOND);
    play.ticks();
    assert_eq!(
        play.count(|it| matches!(it, SupervisorEvent::Paused { .. })),
        0
    );
    play.is_paused(PAUSE);
    play.ticks();
    let duration = PAUSE.saturating_sub(100 * MS);
    assert_eq!(
        play.events.last(),
        Some(&SupervisorEvent::Paused { duration })
    );

    let mut idle = Play::with_all_ready(policy(1));
    idle.is_paused(PAUSE);
    idle.ticks();
    assert_eq!(idle.events, []);
}

#[test]
fn the_age_of_a_worker_is_what_the_system_says() {
    let mut play = watched();
    play.is_paused(PAUSE);
    play.ticks();
    assert_eq!(play.fleet.status(play.now)[0].uptime, PAUSE);
    play.dies(Key(0));
    let lived = PAUSE;
    let is_it = |it: &SupervisorEvent| matches!(it, SupervisorEvent::Exited { uptime: it, .. } if *it == lived);
    assert_eq!(play.count(is_it), 1);
}
