//! What `tidings run` does when it is sent signals.

use rustix::process::Signal;

use crate::support::{Place, STUBBORN, eventually, lives};

#[test]
fn a_hangup_replaces_all_workers() {
    let place = Place::new();
    let running = place.run_web(&[]);
    let before = running.pids(2);

    running.signal(Signal::HUP);

    running.stderr.wait_for("reloaded 2 workers");
    eventually("the elders end", || !before.iter().any(|pid| lives(*pid)));
    let after = running.pids(4).split_off(2);
    assert!(after.iter().all(|pid| lives(*pid)));
}

#[test]
fn an_interrupt_ends_it_as_a_termination_does() {
    let place = Place::new();
    let mut running = place.run_web(&[]);
    running.signal(Signal::INT);
    assert_eq!(running.code(), 0);
}

#[test]
fn a_second_termination_kills() {
    let place = Place::new();
    let mut running = place.run(&["--workers=1", "--grace=1h"], &STUBBORN);
    let worker = running.pids(1)[0];

    running.signal(Signal::TERM);
    running.stderr.wait_for("was told to end");
    assert!(lives(worker));
    running.signal(Signal::TERM);

    assert_eq!(running.code(), 3);
    assert!(!lives(worker));
}
