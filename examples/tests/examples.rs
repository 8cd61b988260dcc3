//! Each example runs, ends well, and says what it is there to show.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::PathBuf;
use std::process::{Command, Output};

use tidings_testkit::Redis;

/// Where cargo put the example: beside the directory of this test.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let program: PathBuf = profile.join("examples").join(file);
    assert!(
        program.exists(),
        "{} is not built: run `cargo test -p tidings-examples`, without `--test`",
        program.display()
    );
    let mut command = Command::new(program);
    command.env_remove("TIDINGS_URL");
    command
}

#[track_caller]
fn assert_says(output: &Output, lines: &[&str]) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}{errors}", output.status);
    for line in lines {
        assert!(text.contains(line), "`{line}` is missing in:\n{text}");
    }
}

const QUICKSTART: [&str; 7] = [
    "job user 7 is called Ada now",
    "api drops `user:7`",
    "api user 7 is gone",
    "expected a string",
    "web a frame of 20 bytes cannot be read",
    "web orders 1 to 1,000, each once, in order",
    "job heard 1005 events and missed 0",
];

const AXUM: [&str; 3] = [
    r#"{"name":"Ada","from":"cache"}"#,
    r#"{"name":"Grace","from":"database"}"#,
    "GET /ready           200",
];

const ATTRIBUTE: [&str; 2] = ["Dear Ada, user 7!", "`cache.clear` number 2 drops user:7"];

#[test]
fn the_quickstart_needs_nothing_installed() {
    assert_says(&example("quickstart").output().unwrap(), &QUICKSTART);
}

#[test]
fn the_marked_handlers_hear() {
    assert_says(&example("attribute").output().unwrap(), &ATTRIBUTE);
}

#[test]
fn a_replica_drops_its_entry_on_the_word_of_another() {
    assert_says(&example("axum").output().unwrap(), &AXUM);
}

#[test]
fn four_processes_hear_each_event_once_and_in_order() {
    let lines = ["Each process heard each event once, in order."];
    assert_says(&example("processes").output().unwrap(), &lines);
}

#[tokio::test]
async fn the_examples_run_on_redis_too() {
    let redis = Redis::start().await;
    for (name, lines) in [
        ("quickstart", &QUICKSTART[..]),
        ("attribute", &ATTRIBUTE[..]),
        ("axum", &AXUM[..]),
    ] {
        let output = example(name)
            .env("TIDINGS_URL", redis.url())
            .output()
            .unwrap();
        assert_says(&output, lines);
    }
}
