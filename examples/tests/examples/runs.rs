//! Each example runs, succeeds, and prints what it demonstrates.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tidings_testkit::Redis;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(30);

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

const AXUM: [&str; 3] = [
    r#"{"name":"Ada","from":"cache"}"#,
    r#"{"name":"Grace","from":"database"}"#,
    r#"GET /ready           200  {"degraded":false,"ready":true}"#,
];

const ATTRIBUTE: [&str; 2] = ["Dear Ada, user 7!", "`cache.clear` number 2 drops user:7"];

#[test]
fn the_quickstart_needs_nothing_installed() {
    assert_says(&example("quickstart").output().unwrap(), &QUICKSTART);
}

#[test]
fn registered_functions_receive_events() {
    assert_says(&example("attribute").output().unwrap(), &ATTRIBUTE);
}

#[test]
fn a_replica_drops_its_entry_when_another_changes_the_user() {
    assert_says(&example("axum").output().unwrap(), &AXUM);
}

#[tokio::test]
async fn a_replica_stays_ready_without_redis_and_reports_that_it_is_degraded() {
    let redis = Redis::start().await;
    let mut replicas = tokio::process::Command::from(example("axum"))
        .arg("--serve")
        .env("TIDINGS_URL", redis.url())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(replicas.stdout.take().unwrap()).lines();
    let mut at = String::new();
    let serves = async {
        // The last line, which contains the address of A.
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, rest)) = line.split_once("Lin http://") {
                rest.split('/').next().unwrap().clone_into(&mut at);
                return;
            }
        }
    };
    timeout(SOON, serves).await.unwrap();
    assert!(
        get(&at, "/ready")
            .await
            .ends_with(r#"{"degraded":false,"ready":true}"#)
    );

    drop(redis);

    let is_degraded = async {
        loop {
            let answer = get(&at, "/ready").await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            if answer.ends_with(r#"{"degraded":true,"ready":true}"#) {
                return;
            }
        }
    };
    timeout(SOON, is_degraded).await.unwrap();
    let user = get(&at, "/users/7").await;
    assert!(
        user.ends_with(r#"{"name":"Grace","from":"database"}"#),
        "{user}"
    );
}

async fn get(at: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[test]
fn four_processes_receive_each_event_once_and_in_order() {
    let lines = ["Each process received each event once, in order."];
    assert_says(&example("processes").output().unwrap(), &lines);
}

#[tokio::test]
async fn the_examples_also_run_on_redis() {
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
