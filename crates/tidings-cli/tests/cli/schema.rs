//! `docs/src/cli-schema.json`: what each command prints with `--json` is valid against it.
//!
//! A new command needs a definition with its name in the schema, and a line in `COMMANDS`, or code like
//! that for `listen`, which prints each form that the definition has.

mod validator;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tidings::{Bus, Journal};

use self::validator::errors;
use crate::contract;
use crate::failover;
use crate::fleet::Fleet;
use crate::listen::{listen, publish_gap_and_unreadable};
use crate::support::{Running, STAYS, Sandbox};

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../docs/src/cli-schema.json"]
        .iter()
        .collect();
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
});

const SECONDS: Duration = Duration::from_secs(5);

/// Commands that print no JSON.
const WITHOUT_JSON: [&str; 2] = ["completions", "man"];

/// Commands that are done at once, in this order.
const COMMANDS: &[&[&str]] = &[
    &["members"],
    &["members", "api-1"],
    &["servers"],
    &["send", "tick", "--header", "tenant=acme"],
    &["send", "tick", "--to", "api-1"],
    &["send", "tick", "--ack"],
    &["send", "-"],
    &["request", "tick"],
    &["bench", "--rate", "1000", "--for", "100ms"],
    &["state", "set", "limits", "per_minute:=60"],
    &["state", "get", "limits"],
    &["state", "clear", "limits", "--yes"],
    &["map", "set", "users", "7", "name=Ada"],
    &["map", "get", "users", "7"],
    &["map", "ls", "users"],
    &["map", "remove", "users", "7", "--yes"],
    &["counter", "add", "visits", "-1"],
    &["counter", "get", "visits"],
    &["counter", "reset", "visits", "--yes"],
    &["journal", "info"],
    &["journal", "positions"],
    &["journal", "trim", "--older-than", "1h", "--yes"],
    &["journal", "remove", "billing", "--yes"],
    &["doctor"],
    &["acl", "--user", "shop"],
    &["context", "show"],
    &["context", "list"],
    &["context", "use", "dev"],
    &["listen", "--rates", "--for", "1200ms"],
    &["ps"],
    &["scale", "1"],
    &["reload"],
    &["stop"],
];

/// Returns the forms of a command.
fn forms(command: &str) -> Vec<&'static Value> {
    let definition = &SCHEMA["$defs"][command];
    assert!(
        definition.is_object(),
        "`{command}` needs a definition in docs/src/cli-schema.json"
    );
    match definition["anyOf"].as_array() {
        Some(forms) => forms.iter().collect(),
        None => vec![definition],
    }
}

/// Checks a line of a command, and returns the number of its form.
pub(crate) fn check(command: &str, line: &Value) -> usize {
    let mut wrong = Vec::new();
    for (number, form) in forms(command).into_iter().enumerate() {
        let errors = errors(&SCHEMA, form, line);
        if errors.is_empty() {
            return number;
        }
        wrong.push(format!("{}: {}", form["description"], errors.join(", ")));
    }
    let wrong = wrong.join("\n  ");
    panic!("docs/src/cli-schema.json does not allow what `{command}` prints:\n{line}\n  {wrong}");
}

/// Returns the commands of the help.
pub(crate) fn commands(sandbox: &Sandbox) -> Vec<String> {
    let help = sandbox.succeed(&["--help"]);
    let lines = help.lines().take_while(|line| !line.starts_with("Options"));
    let commands = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    commands.map(str::to_owned).collect()
}

async fn member(fleet: &Fleet) -> Bus {
    let journal = Journal::default().durable("billing");
    let bus = fleet.member_with("api-1", |bus| {
        bus.journal(journal).on("tick", |_: Value| async {})
    });
    let bus = bus.await;
    bus.send_to_all("tick", &1).await.unwrap();
    bus
}

#[tokio::test(flavor = "multi_thread")]
async fn the_json_of_every_command_is_valid_against_the_schema_of_the_book() {
    let fleet = Fleet::start().await;
    fleet.write(
        ".config/tidings/config.toml",
        "[contexts.dev]\nurl = \"redis://127.0.0.1\"\n",
    );
    let _web = fleet.sandbox.run_web(&[]);
    let mut lines = listened(&fleet).await;
    let mut member = Some(member(&fleet).await);
    lines.push(("members", watched(&fleet)));
    lines.push(("console", shown(&fleet)));
    for arguments in COMMANDS {
        // A durable name that is in use cannot be removed.
        if arguments.ends_with(&["billing", "--yes"])
            && let Some(member) = member.take()
        {
            member
                .shutdown(std::time::Duration::from_secs(5))
                .await
                .unwrap();
        }
        let text = fleet.succeed(&[arguments, &["--json"][..]].concat());
        let values = serde_json::Deserializer::from_str(&text).into_iter();
        lines.extend(values.map(|value| (arguments[0], value.unwrap())));
    }
    let running = fleet
        .sandbox
        .run(&["--output", "json", "--name", "api"], &STAYS);
    let line = running.stdout.wait_for("\"event\":\"running\"");
    lines.push(("run", serde_json::from_str(&line).unwrap()));

    lines.push(("failover", failover::handed_over().await));
    lines.extend(contract::each_form());

    let printed = lines
        .iter()
        .map(|(command, line)| (*command, check(command, line)));
    let printed: BTreeSet<_> = printed.collect();

    for command in commands(&fleet.sandbox) {
        if WITHOUT_JSON.contains(&&*command) {
            continue;
        }
        for (number, form) in forms(&command).into_iter().enumerate() {
            let is_printed = printed.contains(&(&*command, number));
            let about = &form["description"];
            assert!(
                is_printed,
                "`{command}`, {about}: this test does not print it"
            );
        }
    }
}

/// Returns each form of `listen` but rates.
async fn listened(fleet: &Fleet) -> Vec<(&'static str, Value)> {
    let bus = fleet.member("api-2").await;
    let mut running = listen(fleet, &["--json"]);
    let sent = bus.send_to_all("user.renamed", &7);
    sent.header("tenant", "acme").await.unwrap();
    publish_gap_and_unreadable(fleet).await;
    running.stdout.wait_for("\"sequence\":6");
    running.signal(Signal::INT);
    assert_eq!(running.code(), 0);
    running.stdout.wait_for("\"end\"");
    // Without a journal, it must have gone before one with a journal starts.
    bus.shutdown(SECONDS).await.unwrap();
    let lines = running.stdout.all();
    let parse = |line: &String| ("listen", serde_json::from_str(line).unwrap());
    lines.iter().map(parse).collect()
}

/// Returns a refresh of `members --watch`.
fn watched(fleet: &Fleet) -> Value {
    let arguments = ["members", "--watch", "--json"];
    let running = Running::start(fleet.command().args(arguments));
    serde_json::from_str(&running.stdout.wait_for("")).unwrap()
}

/// Returns the line of `console`.
fn shown(fleet: &Fleet) -> Value {
    let arguments = ["console", "--listen", "127.0.0.1:0", "--json"];
    let running = Running::start(fleet.command().args(arguments));
    serde_json::from_str(&running.stdout.wait_for("url")).unwrap()
}

#[test]
fn a_line_that_is_not_in_the_schema_is_found() {
    let scaled = json!({ "v": 1, "name": "web", "from": 1, "to": 2 });
    let errors_of = |line: Value| errors(&SCHEMA, forms("scale")[0], &line);
    assert!(errors_of(scaled.clone()).is_empty());
    for (field, value) in [
        ("v", json!(2)),
        ("from", json!(-1)),
        ("to", json!("2")),
        ("by", json!("nobody")),
    ] {
        let mut wrong = scaled.clone();
        wrong[field] = value;
        assert!(!errors_of(wrong).is_empty(), "{field}");
    }
    let mut less = scaled;
    less.as_object_mut().unwrap().remove("name");
    assert_eq!(errors_of(less), [": `name` is missing"]);
}
