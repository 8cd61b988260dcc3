//! `tidings run --watch`: a change of a program or of a directory reloads.

use std::fs;
use std::sync::mpsc::{self, RecvTimeoutError::Timeout};
use std::thread;
use std::time::Duration;

use crate::support::{Place, Running, STAYS};

fn watching(place: &Place, paths: &[&str], program: &[&str]) -> Running {
    let watch = |path: &&str| format!("--watch={}", place.path(path).display());
    let watches: Vec<_> = paths.iter().map(watch).collect();
    let mut options = vec!["--workers=1"];
    options.extend(watches.iter().map(String::as_str));
    let running = place.run(&options, program);
    running.stderr.wait_for("is ready");
    running
}

#[test]
fn a_program_that_is_replaced_is_run_each_time() {
    let place = Place::new();
    let version = |version: &str| format!("echo version {version}; exec sleep 1000");
    let program = place.put_program("server", &version("first"));
    let running = watching(&place, &["server"], &[program.to_str().unwrap()]);
    running.stdout.wait_for("version first");

    place.put_program("server", &version("renamed"));
    running.stdout.wait_for("version renamed");
    running.stderr.wait_count("reloaded 1 worker", 1);

    // As cargo does it.
    let built = place.put_program("built", &version("linked"));
    fs::remove_file(&program).unwrap();
    fs::hard_link(&built, &program).unwrap();
    running.stdout.wait_for("version linked");
    running.stderr.wait_count("reloaded 1 worker", 2);

    place.put_program("server", &version("again"));
    running.stdout.wait_for("version again");
}

#[test]
fn what_changes_nothing_does_not_reload() {
    let place = Place::new();
    for file in ["settings", "sources/page", "last"] {
        fs::create_dir_all(place.path("sources")).unwrap();
        fs::write(place.path(file), "1").unwrap();
    }
    let running = watching(&place, &["settings", "sources", "last"], &STAYS);

    fs::write(place.path("neighbour"), "1").unwrap();
    fs::read(place.path("settings")).unwrap();
    fs::read(place.path("sources/page")).unwrap();
    // By the time that these are noticed, all before would have been.
    for (count, text) in [(1, "22"), (2, "333")] {
        fs::write(place.path("last"), text).unwrap();
        running.stderr.wait_count("last changed", count);
    }

    assert_eq!(running.stderr.count(" changed"), 2);
}

#[test]
fn a_change_below_a_watched_directory_reloads() {
    let place = Place::new();
    fs::create_dir_all(place.path("sources/deep")).unwrap();
    let running = watching(&place, &["sources"], &STAYS);

    fs::write(place.path("sources/deep/page"), "1").unwrap();
    running.stderr.wait_count("reloaded", 1);

    fs::create_dir(place.path("sources/new")).unwrap();
    running.stderr.wait_count("reloaded", 2);
    fs::write(place.path("sources/new/page"), "1").unwrap();
    running.stderr.wait_count("reloaded", 3);
}

#[test]
fn a_directory_that_never_rests_reloads_all_the_same() {
    let place = Place::new();
    fs::create_dir(place.path("sources")).unwrap();
    let running = watching(&place, &["sources"], &STAYS);
    let (page, (reloaded, is_reloaded)) = (place.path("sources/page"), mpsc::channel::<()>());

    let writer = thread::spawn(move || {
        while is_reloaded.recv_timeout(Duration::from_millis(10)) == Err(Timeout) {
            fs::write(&page, "1").unwrap();
        }
    });
    running.stderr.wait_for("reloaded 1 worker");

    drop(reloaded);
    writer.join().unwrap();
}

#[test]
fn a_directory_that_was_away_is_watched_when_it_is_back() {
    let place = Place::new();
    fs::create_dir_all(place.path("target/release")).unwrap();
    fs::write(place.path("target/release/server"), "1").unwrap();
    let running = watching(&place, &["target/release/server"], &STAYS);

    // As `cargo clean` and a build.
    fs::remove_dir_all(place.path("target")).unwrap();
    fs::create_dir_all(place.path("target/release")).unwrap();
    fs::write(place.path("target/release/server"), "22").unwrap();
    running.stderr.wait_count("reloaded", 1);

    fs::write(place.path("target/release/server"), "333").unwrap();
    running.stderr.wait_count("reloaded", 2);
}

#[test]
fn a_watched_directory_may_be_replaced() {
    let place = Place::new();
    fs::create_dir(place.path("sources")).unwrap();
    let running = watching(&place, &["sources"], &STAYS);

    fs::create_dir(place.path("next")).unwrap();
    fs::rename(place.path("sources"), place.path("old")).unwrap();
    fs::rename(place.path("next"), place.path("sources")).unwrap();
    running.stderr.wait_count("reloaded", 1);

    fs::write(place.path("sources/page"), "1").unwrap();
    running.stderr.wait_count("reloaded", 2);
}
