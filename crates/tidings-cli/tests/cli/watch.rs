//! `tidings run --watch`.

use std::fs;
use std::sync::mpsc::{self, RecvTimeoutError::Timeout};
use std::thread;
use std::time::Duration;

use crate::support::{Running, STAYS, Sandbox};

fn watching(sandbox: &Sandbox, paths: &[&str], program: &[&str]) -> Running {
    let watch = |path: &&str| format!("--watch={}", sandbox.path(path).display());
    let watches: Vec<_> = paths.iter().map(watch).collect();
    let mut options = vec!["--workers=1"];
    options.extend(watches.iter().map(String::as_str));
    let running = sandbox.run(&options, program);
    running.stderr.wait_for("is ready");
    running
}

#[test]
fn a_replaced_program_is_reloaded_each_time() {
    let sandbox = Sandbox::new();
    let version = |version: &str| format!("echo version {version}; exec sleep 1000");
    let program = sandbox.put_program("server", &version("first"));
    let running = watching(&sandbox, &["server"], &[program.to_str().unwrap()]);
    running.stdout.wait_for("version first");

    sandbox.put_program("server", &version("renamed"));
    running.stdout.wait_for("version renamed");
    running.stderr.wait_count("reloaded 1 worker", 1);

    // As cargo replaces a program.
    let built = sandbox.put_program("built", &version("linked"));
    fs::remove_file(&program).unwrap();
    fs::hard_link(&built, &program).unwrap();
    running.stdout.wait_for("version linked");
    running.stderr.wait_count("reloaded 1 worker", 2);

    sandbox.put_program("server", &version("again"));
    running.stdout.wait_for("version again");
}

#[test]
fn reads_and_other_files_do_not_reload() {
    let sandbox = Sandbox::new();
    for file in ["settings", "sources/page", "last"] {
        fs::create_dir_all(sandbox.path("sources")).unwrap();
        fs::write(sandbox.path(file), "1").unwrap();
    }
    let running = watching(&sandbox, &["settings", "sources", "last"], &STAYS);

    fs::write(sandbox.path("neighbour"), "1").unwrap();
    fs::read(sandbox.path("settings")).unwrap();
    fs::read(sandbox.path("sources/page")).unwrap();
    // When these are reported, earlier changes would have been reported too.
    for (count, text) in [(1, "22"), (2, "333")] {
        fs::write(sandbox.path("last"), text).unwrap();
        running.stderr.wait_count("last changed", count);
    }

    assert_eq!(running.stderr.count(" changed"), 2);
}

#[test]
fn a_change_below_a_watched_directory_reloads() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("sources/deep")).unwrap();
    let running = watching(&sandbox, &["sources"], &STAYS);

    fs::write(sandbox.path("sources/deep/page"), "1").unwrap();
    running.stderr.wait_count("reloaded", 1);

    fs::create_dir(sandbox.path("sources/new")).unwrap();
    running.stderr.wait_count("reloaded", 2);
    fs::write(sandbox.path("sources/new/page"), "1").unwrap();
    running.stderr.wait_count("reloaded", 3);
}

#[test]
fn a_directory_that_always_changes_is_reloaded() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("sources")).unwrap();
    let running = watching(&sandbox, &["sources"], &STAYS);
    let (page, (reloaded, is_reloaded)) = (sandbox.path("sources/page"), mpsc::channel::<()>());

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
fn a_directory_that_is_created_again_is_watched() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("target/release")).unwrap();
    fs::write(sandbox.path("target/release/server"), "1").unwrap();
    let running = watching(&sandbox, &["target/release/server"], &STAYS);

    // As `cargo clean` and a build do.
    fs::remove_dir_all(sandbox.path("target")).unwrap();
    fs::create_dir_all(sandbox.path("target/release")).unwrap();
    fs::write(sandbox.path("target/release/server"), "22").unwrap();
    running.stderr.wait_count("reloaded", 1);

    fs::write(sandbox.path("target/release/server"), "333").unwrap();
    running.stderr.wait_count("reloaded", 2);
}

#[test]
fn a_directory_that_is_replaced_is_watched() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("sources")).unwrap();
    let running = watching(&sandbox, &["sources"], &STAYS);

    fs::create_dir(sandbox.path("next")).unwrap();
    fs::rename(sandbox.path("sources"), sandbox.path("old")).unwrap();
    fs::rename(sandbox.path("next"), sandbox.path("sources")).unwrap();
    running.stderr.wait_count("reloaded", 1);

    fs::write(sandbox.path("sources/page"), "1").unwrap();
    running.stderr.wait_count("reloaded", 2);
}
