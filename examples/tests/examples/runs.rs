//! Each example runs, succeeds, and prints what it demonstrates.

use std::path::PathBuf;
use std::process::{Command, Output};

use tidings_testkit::Redis;

/// The example as cargo built it, next to the directory of this test.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let program: PathBuf = profile.join("examples").join(file);
    assert!(
        program.exists(),
        "{} is not built: run `cargo test -p tidings-examples -p tidings-quickstart`, without `--test`",
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
    "job user 7 is now called Ada",
    "api drops `user:7`",
    "api user 7 was deleted",
    "expected a string",
    "web a frame of 20 bytes cannot be read",
    "web orders 1 to 1,000, each once, in order",
    "job received 1005 events and missed 0",
];

#[test]
fn the_quickstart_needs_nothing_installed() {
    assert_says(&example("quickstart").output().unwrap(), &QUICKSTART);
}

#[test]
fn four_processes_receive_each_event_once_and_in_order() {
    let lines = ["Each process received each event once, in order."];
    assert_says(&example("processes").output().unwrap(), &lines);
}

#[tokio::test]
async fn the_quickstart_also_runs_on_redis() {
    let redis = Redis::start().await;
    let mut quickstart = example("quickstart");
    let output = quickstart.env("TIDINGS_URL", redis.url()).output().unwrap();
    assert_says(&output, &QUICKSTART);
}
