//! The exit codes, one test each.

use std::time::Duration;

use serde_json::Value;

use crate::fleet::Fleet;

#[tokio::test(flavor = "multi_thread")]
async fn code_0_is_done() {
    let fleet = Fleet::start().await;
    assert_eq!(fleet.answer(&["send", "tick"]).1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_1_is_failed_and_nothing_happened() {
    let fleet = Fleet::start().await;
    let (stderr, code) = fleet.fail(&["state", "set", "limits", "1", "--if-version", "17"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("limits is at version 0, not 17"),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn code_2_is_arguments_that_are_not_valid() {
    let fleet = Fleet::start().await;
    let (stderr, code) = fleet.fail(&["send", "cache.clear", "user:7"]);
    assert_eq!(code, 2, "{stderr}");
    let help = "help: as a text: tidings send cache.clear --text user:7";
    assert!(
        stderr.contains("`user:7` is not JSON") && stderr.contains(help),
        "{stderr}"
    );
    for arguments in [
        &["send", "no name"][..],
        &["send", "tidings.stop", "--force"],
        &["send", "tick", "--header", "=x"],
        &["request", "no name"],
        &["state", "set", "no name", "1"],
        &["map", "ls", "no name"],
        &["counter", "add", "no name"],
    ] {
        let (stderr, code) = fleet.fail(arguments);
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_3_is_done_and_not_by_all() {
    let fleet = Fleet::start().await;
    let hang = |_: Value| tokio::time::sleep(Duration::from_mins(1));
    let _silent = fleet.member_with("job-1", |bus| bus.on("tick", hang)).await;
    let (stdout, code) = fleet.answer(&["send", "tick", "--ack", "--timeout", "300ms"]);
    assert_eq!(code, 3, "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_4_is_unknown() {
    let fleet = Fleet::start().await;
    // Redis reads the command, and does not answer.
    fleet
        .redis
        .command(&["CLIENT", "PAUSE", "60000", "WRITE"])
        .await;
    // A journal of the members would not have the event: it is not sent.
    let (stderr, code) = fleet.fail(&["send", "tick", "--timeout", "300ms"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("cannot list the members"), "{stderr}");
    let arguments = ["counter", "add", "visits", "--timeout", "300ms"];
    let (stderr, code) = fleet.fail(&arguments);
    assert_eq!(code, 4, "{stderr}");
    assert!(
        stderr.contains("may or may not have taken effect"),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn code_5_is_nobody() {
    let fleet = Fleet::start().await;
    let _member = fleet.member("api-1").await;
    for (arguments, why) in [
        (
            &["send", "tick", "--to", "api-2"][..],
            "no member has the name or the id `api-2`",
        ),
        (
            &["send", "tick", "--to", "role:job"],
            "no member has the role `job`",
        ),
        (
            &["request", "tick", "--to", "be51bc88"],
            "no member has the name or the id `be51bc88`",
        ),
        (&["state", "get", "limits"], "limits has no value"),
        (
            &["state", "clear", "limits", "--yes"],
            "limits has no value",
        ),
        (&["map", "get", "users", "7"], "users has no key `7`"),
        (
            &["map", "remove", "users", "7", "--yes"],
            "users has no key `7`",
        ),
        (&["send", "tick", "--ack"], ""),
        (&["request", "tick"], ""),
        (&["request", "tick", "--to", "api-1"], ""),
    ] {
        let (stderr, code) = fleet.fail(arguments);
        assert_eq!(code, 5, "{arguments:?}: {stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }
}
