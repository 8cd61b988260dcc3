//! `tidings state`, `map` and `counter`.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fleet::{Fleet, NAMESPACE, objects};
use crate::schema;
use crate::support::{Running, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_set_only_at_the_expected_version() {
    let fleet = Fleet::start().await;
    assert_eq!(
        fleet.succeed(&[
            "state",
            "set",
            "limits",
            "per_minute:=60",
            "--if-version",
            "0"
        ]),
        "limits is now version 1\n"
    );
    assert_eq!(
        fleet.succeed(&["state", "get", "limits"]),
        "{\n  \"per_minute\": 60\n}\n"
    );
    fleet.succeed(&["state", "set", "limits", "[90]", "--if-version", "1"]);

    let (stderr, code) = fleet.fail(&["state", "set", "limits", "[10]", "--if-version", "1"]);

    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("limits is at version 2, not 1, and was not changed"),
        "{stderr}"
    );
    let bus = fleet.member("api-1").await;
    let limits = bus.shared::<Vec<u32>>("limits").unwrap();
    let now = limits.get().await.unwrap();
    assert_eq!(
        (now.value().map(|it| &***it), now.version()),
        (Some(&[90][..]), 2)
    );
    let object = &fleet.json(&["state", "get", "limits"])[0];
    assert_eq!(
        (&object["value"], &object["version"]),
        (&json!([90]), &json!(2))
    );
    fleet.succeed(&["state", "clear", "limits", "--yes"]);
    let (stdout, code) = fleet.answer(&["state", "get", "limits", "--json"]);
    assert_eq!(code, 5);
    assert_eq!(
        serde_json::from_str::<Value>(&stdout).unwrap()["is_set"],
        false
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_without_a_yes() {
    let fleet = Fleet::start().await;
    fleet.succeed(&["state", "set", "limits", "1"]);
    fleet.succeed(&["counter", "add", "visits", "5"]);
    fleet.succeed(&["map", "set", "users", "7", "1"]);
    for arguments in [
        &["state", "clear", "limits"][..],
        &["counter", "reset", "visits"],
        &["map", "remove", "users", "7"],
    ] {
        let (stderr, code) = fleet.fail(arguments);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("help: add --yes"), "{stderr}");
    }
    assert_eq!(fleet.succeed(&["counter", "get", "visits"]), "5\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_prints_each_change_and_ends_with_0_on_ctrl_c() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let limits = bus.shared::<u32>("limits").unwrap();
    limits.set(&1).await.unwrap();
    let mut json = Running::start(fleet.command().args(["state", "watch", "limits", "--json"]));
    let words = Running::start(fleet.command().args(["state", "watch", "limits"]));
    json.stdout.wait_for("\"version\":1");
    words.stdout.wait_for("version 1  1");

    limits.set(&2).await.unwrap();
    json.stdout.wait_for("\"value\":2");
    words.stdout.wait_for("version 2  2");
    limits.clear().await.unwrap();
    json.stdout.wait_for("\"value\":null");
    words.stdout.wait_for("version 3  no value");

    json.signal(Signal::INT);
    assert_eq!(json.code(), 0);
    assert_eq!(json.stdout.all().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_ends_by_a_signal_while_its_reader_is_stuck() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let text = bus.shared::<String>("text").unwrap();
    text.set(&"x".repeat(300_000)).await.unwrap();
    let mut command = fleet.command();
    let watch = command.args(["state", "watch", "text"]);
    let (stderr, code) = Running::end_while_stuck(watch, Signal::TERM);
    assert!(stderr.contains("did not take the last lines"), "{stderr}");
    assert_eq!(code, 1);
}

/// `tidings state edit limits` with a script as the editor.
fn edit(fleet: &Fleet, script: &str) -> Command {
    let editor = fleet.sandbox.put_program("editor", script);
    let mut command = fleet.command();
    command
        .args(["state", "edit", "limits"])
        .env("EDITOR", editor);
    command
        .env_remove("VISUAL")
        .env("TMPDIR", fleet.sandbox.directory.path());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_value_is_written_unless_it_was_changed_in_the_meantime() {
    let fleet = Fleet::start().await;
    fleet.succeed(&["state", "set", "limits", "per_minute:=60"]);
    let output = edit(&fleet, "sed -i s/60/90/ \"$1\"").output().unwrap();
    assert_eq!(text(&output.stdout), "limits is now version 2\n");
    let output = edit(&fleet, "true").env("VISUAL", "").output().unwrap();
    assert_eq!(text(&output.stdout), "limits is unchanged\n");
    let output = edit(&fleet, "true").arg("--json").output().unwrap();
    let unchanged = &objects(&text(&output.stdout))[0];
    schema::check("state", unchanged);
    assert_eq!(unchanged["version"], 2);

    let tidings = env!("CARGO_BIN_EXE_tidings");
    let faster = format!("{tidings} state set limits 1 >&2; echo 7 > \"$1\"");
    let output = edit(&fleet, &faster).output().unwrap();

    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("limits was changed in the meantime, and is at version 3"),
        "{stderr}"
    );
    let draft = stderr.rsplit("your text is in ").next().unwrap().trim();
    assert_eq!(std::fs::read_to_string(draft).unwrap(), "7\n");
    assert_eq!(fleet.succeed(&["state", "get", "limits"]), "1\n");
    let output = edit(&fleet, "echo '{' > \"$1\"").output().unwrap();
    assert!(
        text(&output.stderr).contains("the text is not JSON"),
        "{output:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_in_the_editor_is_for_the_editor_alone() {
    let fleet = Fleet::start().await;
    fleet.succeed(&["state", "set", "limits", "per_minute:=60"]);
    // A terminal sends the signals of its keys to the whole group.
    let keys = "trap '' INT QUIT; kill -INT 0; kill -QUIT 0";
    let script = format!("{keys}; sed -i s/60/90/ \"$1\"");
    let output = edit(&fleet, &script).process_group(0).output().unwrap();
    assert_eq!(
        text(&output.stdout),
        "limits is now version 2\n",
        "{output:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_entries_of_a_map_are_listed_by_key() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let users = bus.map::<String, Value>("users").unwrap();
    let hostile = "\u{1b}[2J\n".to_owned();
    users
        .set(&"8".to_owned(), &json!({ "name": "Bob" }))
        .await
        .unwrap();
    users.set(&hostile, &json!(hostile)).await.unwrap();
    fleet.succeed(&["map", "set", "users", "7", "name=Ada"]);

    let output = fleet.tidings(&["map", "ls", "users", "--color", "always"]);

    let plain = text(&output.stdout);
    assert_eq!(plain.lines().count(), 4, "{plain}");
    assert!(!plain.contains("\x1b[2J"), "{plain:?}");
    assert!(text(&output.stderr).contains("3 keys of users"));
    let entries = fleet.json(&["map", "ls", "users"]);
    let keys: Vec<_> = entries
        .iter()
        .map(|it| it["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, [&*hostile, "7", "8"]);
    assert_eq!(entries[1]["value"], json!({ "name": "Ada" }));
    let limited = fleet.tidings(&["map", "ls", "users", "--limit", "2"]);
    assert_eq!(text(&limited.stderr), "1 of 3 keys is not shown\n");
    assert_eq!(
        fleet.succeed(&["map", "get", "users", "7"]),
        "{\n  \"name\": \"Ada\"\n}\n"
    );
    fleet.succeed(&["map", "remove", "users", "7", "--yes"]);
    assert_eq!(fleet.fail(&["map", "remove", "users", "7", "--yes"]).1, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_cannot_be_read_are_counted_and_can_be_removed() {
    let fleet = Fleet::start().await;
    fleet.succeed(&["map", "set", "users", "7", "name=Ada"]);
    let key = format!("tidings:{{{NAMESPACE}}}:map:users");
    fleet.redis.command(&["HSET", &key, "8", "foreign"]).await;

    let output = fleet.tidings(&["map", "ls", "users", "--json"]);

    assert_eq!(objects(&text(&output.stdout)).len(), 1);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("1 failure while the map was read"),
        "{stderr}"
    );
    fleet.succeed(&["map", "remove", "users", "8", "--yes"]);
    fleet.succeed(&["map", "ls", "users"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_is_added_to_and_reset() {
    let fleet = Fleet::start().await;
    assert_eq!(fleet.succeed(&["counter", "get", "visits"]), "0\n");
    assert_eq!(
        fleet.succeed(&["counter", "add", "visits", "5"]),
        "visits is now 5\n"
    );
    assert_eq!(
        fleet.succeed(&["counter", "add", "visits", "-2"]),
        "visits is now 3\n"
    );
    assert_eq!(fleet.json(&["counter", "add", "visits"])[0]["value"], 4);
    let reset = fleet.succeed(&["counter", "reset", "visits", "--yes"]);
    assert_eq!(reset, "visits was 4 and is now 0\n");
}
