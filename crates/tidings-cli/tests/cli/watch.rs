//! `tidings run --watch`: a change of a program or of a directory reloads.

use std::fs;

use crate::support::{Place, Running, STAYS};

fn watching(place: &Place, path: &str, program: &[&str]) -> Running {
    let path = place.path(path);
    let options = ["--workers=1", "--watch", path.to_str().unwrap()];
    let running = place.run(&options, program);
    running.stderr.wait_for("is ready");
    running
}

#[test]
fn a_program_that_is_replaced_is_run_each_time() {
    let place = Place::new();
    let version = |version: &str| format!("echo version {version}; exec sleep 1000");
    let program = place.put_program("server", &version("first"));
    let running = watching(&place, "server", &[program.to_str().unwrap()]);
    running.stdout.wait_for("version first");

    place.put_program("server", &version("renamed"));
    running.stdout.wait_for("version renamed");
    running.stderr.wait_count("reloaded 1 workers", 1);

    // As cargo does it.
    let built = place.put_program("built", &version("linked"));
    fs::remove_file(&program).unwrap();
    fs::hard_link(&built, &program).unwrap();
    running.stdout.wait_for("version linked");
    running.stderr.wait_count("reloaded 1 workers", 2);

    place.put_program("server", &version("again"));
    running.stdout.wait_for("version again");
}

#[test]
fn what_else_happens_beside_a_watched_file_does_not_reload() {
    let place = Place::new();
    fs::write(place.path("settings"), "1").unwrap();
    let running = watching(&place, "settings", &STAYS);

    fs::write(place.path("neighbour"), "1").unwrap();
    fs::read(place.path("settings")).unwrap();
    fs::write(place.path("settings"), "22").unwrap();

    running.stderr.wait_for("reloaded");
    assert_eq!(running.stderr.count("settings changed"), 1);
}

#[test]
fn a_change_below_a_watched_directory_reloads() {
    let place = Place::new();
    fs::create_dir_all(place.path("sources/deep")).unwrap();
    let running = watching(&place, "sources", &STAYS);

    fs::write(place.path("sources/deep/page"), "1").unwrap();
    running.stderr.wait_count("reloaded", 1);

    fs::create_dir(place.path("sources/new")).unwrap();
    running.stderr.wait_count("reloaded", 2);
    fs::write(place.path("sources/new/page"), "1").unwrap();
    running.stderr.wait_count("reloaded", 3);
}

#[test]
fn a_directory_that_was_away_is_watched_when_it_is_back() {
    let place = Place::new();
    fs::create_dir_all(place.path("target/release")).unwrap();
    fs::write(place.path("target/release/server"), "1").unwrap();
    let running = watching(&place, "target/release/server", &STAYS);

    // As `cargo clean` and a build.
    fs::remove_dir_all(place.path("target")).unwrap();
    fs::create_dir_all(place.path("target/release")).unwrap();
    fs::write(place.path("target/release/server"), "22").unwrap();
    running.stderr.wait_count("reloaded", 1);

    fs::write(place.path("target/release/server"), "333").unwrap();
    running.stderr.wait_count("reloaded", 2);
}
