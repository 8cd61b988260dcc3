//! Properties of every command that connects to Redis.

use std::process::Command;
use std::thread;

use tidings::acl::Permissions;
use tidings::{Bus, BusBuilder, Journal};

use crate::fleet::{Fleet, NAMESPACE, PASSWORD, objects};
use crate::schema;
use crate::support::text;

/// A command that only needs Redis, and is done at once.
pub(crate) const COMMANDS: &[&[&str]] = &[
    &["members"],
    &["servers"],
    &["send", "tick", "id:=7", "--to", "api-1"],
    &["send", "tick", "--ack"],
    &["request", "tick"],
    &["bench", "--rate", "1000", "--for", "100ms"],
    &["state", "set", "limits", "per_minute:=60"],
    &["state", "get", "filled"],
    &["state", "clear", "filled-2", "--yes"],
    &["map", "set", "users", "7", "name=Ada"],
    &["map", "get", "filled", "1"],
    &["map", "ls", "filled"],
    &["map", "remove", "filled", "2", "--yes"],
    &["journal", "info"],
    &["counter", "get", "visits"],
    &["counter", "add", "visits", "-1"],
    &["counter", "reset", "visits", "--yes"],
];

/// Runs all commands at the same time, because most of the time is spent waiting.
fn each(
    prepare: impl Fn(&mut Command) + Sync,
    fleet: &Fleet,
    check: impl Fn(&[&str], &std::process::Output) + Sync,
) {
    thread::scope(|scope| {
        for arguments in COMMANDS {
            let (prepare, check) = (&prepare, &check);
            scope.spawn(move || {
                let mut command = fleet.command();
                prepare(command.args(*arguments));
                check(arguments, &command.output().unwrap());
            });
        }
    });
}

/// Starts a member that handles what the commands send.
pub(crate) async fn member(fleet: &Fleet) -> Bus {
    member_with(fleet.builder("api-1")).await
}

/// Like [`member`], with this address and name.
pub(crate) async fn member_with(builder: BusBuilder) -> Bus {
    let builder = builder.auto_register(false).journal(Journal::default());
    let builder = builder.on("tick", |_: serde_json::Value| async {});
    let bus = builder.start().await.unwrap();
    assert!(!bus.members().await.unwrap().is_empty());
    for name in ["filled", "filled-2"] {
        bus.shared(name).unwrap().set(&1).await.unwrap();
    }
    let map = bus.map::<u32, u32>("filled").unwrap();
    map.set(&1, &1).await.unwrap();
    map.set(&2, &2).await.unwrap();
    bus
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_prints_text_without_colors_when_there_is_no_terminal() {
    let fleet = Fleet::start().await;
    let _member = member(&fleet).await;
    each(
        |_| {},
        &fleet,
        |arguments, output| {
            assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
            assert!(!output.stdout.is_empty(), "{arguments:?}");
            assert!(!output.stdout.contains(&0x1b), "{arguments:?}: {output:?}");
            assert!(!output.stderr.contains(&0x1b), "{arguments:?}: {output:?}");
        },
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_prints_one_object_per_line_with_json() {
    let fleet = Fleet::start().await;
    let _member = member(&fleet).await;
    let json = |command: &mut Command| {
        command.args(["--json", "--color", "always"]);
    };
    each(json, &fleet, |arguments, output| {
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        let objects = objects(&text(&output.stdout));
        assert!(!objects.is_empty(), "{arguments:?}");
        for object in &objects {
            schema::check(arguments[0], object);
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_fails_within_its_timeout_while_redis_is_unreachable() {
    let mut fleet = Fleet::start().await;
    fleet.redis.kill();
    let impatient = |command: &mut Command| {
        command.args(["--timeout", "200ms"]);
    };
    each(impatient, &fleet, |arguments, output| {
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(
            stderr.contains("error: cannot reach redis://"),
            "{arguments:?}: {stderr}"
        );
        assert!(stderr.contains("help: "), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_is_denied_says_which_permission_is_missing() {
    // This user may send and receive, and has no keys.
    let rules = Permissions::of_bus(NAMESPACE).unwrap().check_role();
    let fleet = Fleet::start_with(|redis| redis.user(format!("mute on >{PASSWORD} {rules}"))).await;
    let url = fleet.redis.url_as("mute", PASSWORD);
    let as_mute = |command: &mut Command| {
        command.env("TIDINGS_URL", &url).args(["--timeout", "2s"]);
    };
    each(as_mute, &fleet, |arguments, output| {
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(
            stderr.contains("ACL SETUSER mute"),
            "{arguments:?}: {stderr}"
        );
        assert!(!stderr.contains(PASSWORD), "{arguments:?}: {stderr}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_ends_quietly_when_its_output_is_closed() {
    let fleet = Fleet::start().await;
    let _member = member(&fleet).await;
    let closed = |command: &mut Command| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer);
    };
    each(closed, &fleet, |arguments, output| {
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panic"), "{arguments:?}: {stderr}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn colors_are_printed_on_request_and_turned_off_by_the_environment() {
    let fleet = Fleet::start().await;
    let _member = member(&fleet).await;
    let colored = |command: &mut Command| {
        command
            .arg("members")
            .output()
            .unwrap()
            .stdout
            .contains(&0x1b)
    };
    assert!(colored(fleet.command().args(["--color", "always"])));
    assert!(colored(fleet.command().env("CLICOLOR_FORCE", "1")));
    let no_color = ("NO_COLOR", "1");
    assert!(!colored(fleet.command().env(no_color.0, no_color.1)));
    assert!(!colored(
        fleet
            .command()
            .args(["--color", "never"])
            .env("CLICOLOR_FORCE", "1")
    ));
}
