//! The output of `tidings doctor`.

use std::time::Duration;

use tidings::Journal;

use crate::doctor::examination::examine_at;
use crate::doctor::settings::healthy;
use crate::fleet::{Fleet, PASSWORD};
use crate::support::text;

#[tokio::test(flavor = "multi_thread")]
async fn problems_are_lines_with_their_cure_below_and_the_last_line_counts() {
    let fleet = healthy().await;
    let set = [
        "CONFIG",
        "SET",
        "client-output-buffer-limit",
        "pubsub 1mb 0 0",
    ];
    fleet.redis.command(&set).await;
    fleet
        .redis
        .command(&["CONFIG", "SET", "tcp-keepalive", "0"])
        .await;

    let (stdout, code) = fleet.answer(&["doctor"]);

    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{stdout}");
    assert!(lines[0].starts_with("error    client-output-buffer-limit pubsub is 1 MiB: "));
    assert!(lines[0].ends_with("[output-buffer]"));
    let port = fleet.redis.port();
    let cure = format!(
        "         redis-cli -h 127.0.0.1 -p {port} CONFIG SET client-output-buffer-limit 'pubsub 32mb 8mb 60'"
    );
    assert_eq!(lines[1], cure);
    assert!(lines[2].starts_with("warn     tcp-keepalive is 0"));
    assert!(lines[4].starts_with("1 error, 1 warning, "), "{stdout}");
    assert!(lines[4].ends_with(" checks passed"), "{stdout}");
    assert_eq!(code, 3);
    assert!(!stdout.contains('\u{1b}'));
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_alone_exit_with_0_and_passed_checks_are_shown_with_v() {
    let fleet = Fleet::start().await;
    let (stdout, code) = fleet.answer(&["doctor"]);
    assert_eq!(code, 0);
    assert!(!stdout.contains("ok  "), "{stdout}");
    assert!(stdout.contains("0 errors, 1 warning, "), "{stdout}");
    let (stdout, _) = fleet.answer(&["doctor", "-v"]);
    assert!(stdout.contains("ok       Redis 7"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_unreachable_is_an_error_that_says_what_to_do() {
    let mut fleet = healthy().await;
    fleet.redis.kill();
    let output = fleet.tidings(&["doctor", "--timeout", "200ms"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: cannot reach redis://"), "{stderr}");
    assert!(stderr.contains("help: "), "{stderr}");
    assert!(output.stdout.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_an_error_without_a_password() {
    let fleet = healthy().await;
    let port = fleet.redis.port();
    let url = format!("redis://:{PASSWORD}-wrong@127.0.0.1:{port}");
    let output = fleet
        .command()
        .env("TIDINGS_URL", url)
        .arg("doctor")
        .output()
        .unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("WRONGPASS") && !stderr.contains(PASSWORD),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_member_does_nothing_to_the_terminal_and_nothing_to_the_shell() {
    let fleet = healthy().await;
    let hostile = "x\u{1b}[2J\r\n$(reboot)'\u{9b}2J\u{202e}\0";
    let start = || fleet.member_with(hostile, |bus| bus.version(hostile));
    let (_first, _second) = (start().await, start().await);
    for arguments in [
        &["doctor", "--color", "always", "-v"][..],
        &["doctor", "--json"],
    ] {
        let (stdout, _) = fleet.answer(arguments);
        assert!(stdout.contains("have the name x"), "{stdout:?}");
        assert!(
            !stdout.contains("\x1b[2J") && !stdout.contains('\u{9b}'),
            "{stdout:?}"
        );
        assert!(!stdout.contains(['\r', '\0', '\u{202e}']), "{stdout:?}");
    }
    assert_eq!(examine_at(&fleet, &fleet.redis.url()).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_gone_ends_it_quietly() {
    let fleet = healthy().await;
    let shell = "\"$0\" doctor -v 2>&1 | head -1";
    let mut command = fleet.command_of("sh");
    let output = command
        .args(["-c", shell, env!("CARGO_BIN_EXE_tidings")])
        .output()
        .unwrap();
    let stdout = text(&output.stdout);
    assert!(!stdout.contains("panicked"), "{stdout}");
    assert_eq!(stdout.lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_changes_nothing_in_redis() {
    let fleet = healthy().await;
    let journal = Journal::default().durable("billing");
    let member = fleet.member_with("api-1", |bus| bus.journal(journal)).await;
    member.send_to_all("tick", &1).await.unwrap();
    member.shared("limits").unwrap().set(&60).await.unwrap();
    let users = member.map::<u32, u32>("users").unwrap();
    users.set(&1, &2).await.unwrap();
    member.counter("visits").unwrap().add(5).await.unwrap();
    member.shutdown(Duration::from_secs(5)).await.unwrap();
    let before = contents(&fleet).await;

    fleet.answer(&["doctor"]);

    assert_eq!(contents(&fleet).await, before);
}

/// Returns the keys, each with a digest of its value.
async fn contents(fleet: &Fleet) -> Vec<String> {
    let keys = fleet.redis.cli(&["KEYS", "*"]).await;
    let mut keys: Vec<_> = keys.lines().map(str::to_owned).collect();
    keys.sort();
    for key in &mut keys {
        let digest = fleet.redis.cli(&["DEBUG", "DIGEST-VALUE", key]).await;
        *key = format!("{key} {digest}");
    }
    keys
}
