//! `tidings bench`.

use std::process::Output;

use rustix::process::Signal;
use serde_json::Value;
use tidings::acl::Permissions;
use tidings_testkit::wait_for;

use crate::fleet::{Fleet, NAMESPACE, PASSWORD, objects};
use crate::schema;
use crate::support::{Running, TIMEOUT, text};

const SHORT: [&str; 5] = ["bench", "--rate", "2000", "--for", "300ms"];

/// Starts a run that would take a minute, and waits until events arrive.
async fn long_run(fleet: &Fleet) -> Running {
    let mut command = fleet.command();
    command.args([
        "bench",
        "--rate",
        "5000",
        "--for",
        "1m",
        "--json",
        "--timeout",
        "500ms",
    ]);
    let running = Running::start(&mut command);
    running.stderr.wait_for("measuring in bench-");
    wait_for_frames(fleet, 100).await;
    running
}

/// Waits until Redis has published this many more frames.
async fn wait_for_frames(fleet: &Fleet, frames: u64) {
    let first = published(fleet).await;
    wait_for("Redis publishes frames", TIMEOUT, async || {
        published(fleet).await >= first + frames
    })
    .await;
}

async fn published(fleet: &Fleet) -> u64 {
    let info = fleet.redis.cli(&["INFO", "commandstats"]).await;
    let calls = info.split("cmdstat_publish:calls=").nth(1);
    let calls = calls.and_then(|rest| rest.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}

/// Waits for the end, and returns the result and the exit code.
fn end(mut running: Running) -> (Value, i32) {
    let code = running.code();
    let line = running.stdout.wait_for("\"sent\"");
    let result = objects(&line).remove(0);
    schema::check("bench", &result);
    (result, code)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_events_of_a_run_arrive_and_nothing_is_left_in_redis() {
    let fleet = Fleet::start().await;

    let stdout = fleet.succeed(&[&SHORT[..], &["--subscribers", "2"]].concat());

    let lines: Vec<_> = stdout.lines().collect();
    assert!(
        lines[0].starts_with("600 events of 128 bytes in "),
        "{stdout}"
    );
    assert!(lines[1].starts_with("latency p50 "), "{stdout}");
    assert!(lines[2].starts_with("CPU per event: sender "), "{stdout}");
    assert!(!lines[2].contains("unknown"), "{stdout}");
    assert_eq!(
        lines[3],
        "0 lost, 0 twice, 0 out of order of 1,200 deliveries"
    );
    assert_eq!(fleet.redis.cli(&["KEYS", "*"]).await.trim(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_json_of_a_run_has_what_was_asked_for_and_what_was_measured() {
    let fleet = Fleet::start().await;
    let result = fleet
        .json(&[&SHORT[..], &["--size", "1000"]].concat())
        .remove(0);
    assert_eq!(result["requested_rate"], 2_000);
    assert_eq!(
        (&result["size"], &result["subscribers"]),
        (&1_000.into(), &1.into())
    );
    assert_eq!(
        (&result["sent"], &result["received"]),
        (&600.into(), &600.into())
    );
    for field in ["sender", "subscriber", "redis"] {
        let per_event = result["nanoseconds_per_event"][field].as_u64().unwrap();
        assert!(
            (1..1_000_000_000).contains(&per_event),
            "{field}: {per_event}"
        );
    }
    let latency = |name: &str| result["latency"][name].as_f64().unwrap();
    assert!(0.0 < latency("p50") && latency("p50") <= latency("max"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_run_with_what_there_is() {
    let fleet = Fleet::start().await;
    let running = long_run(&fleet).await;

    running.signal(Signal::INT);
    let (result, code) = end(running);

    assert_eq!(code, 0, "{result}");
    assert!(result["sent"].as_u64().unwrap() > 0, "{result}");
    assert_eq!(result["received"], result["sent"]);
    assert!(result["took"].as_f64().unwrap() < 60_000.0, "{result}");
}

/// The ids of the subscribed connections, in order.
async fn subscribed(fleet: &Fleet) -> Vec<u64> {
    let list = fleet.redis.cli(&["CLIENT", "LIST", "TYPE", "pubsub"]).await;
    let fields = list.split_whitespace();
    let ids = fields.filter_map(|field| field.strip_prefix("id="));
    let mut ids: Vec<u64> = ids.map(|id| id.parse().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_do_not_arrive_are_counted_and_are_code_3() {
    let fleet = Fleet::start().await;
    let running = long_run(&fleet).await;

    // The subscriber connected before the sender. What is published until it is back is lost: on a
    // machine that stalls, the first time that can be nothing.
    let sender = *subscribed(&fleet).await.last().unwrap();
    for _ in 0..5 {
        let ids = subscribed(&fleet).await;
        for id in ids.into_iter().filter(|id| *id != sender) {
            let kill = ["CLIENT", "KILL", "ID", &id.to_string()];
            fleet.redis.cli(&kill).await;
        }
        wait_for_frames(&fleet, 50).await;
    }
    running.signal(Signal::INT);
    let (result, code) = end(running);

    let of = |field: &str| result[field].as_u64().unwrap();
    assert_eq!(code, 3, "{result}");
    assert!(of("lost") > 0, "{result}");
    assert_eq!(of("lost") + of("received"), of("sent"), "{result}");
    assert_eq!((of("twice"), of("out_of_order")), (0, 0), "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_redis_says_what_was_sent_and_what_was_not() {
    let mut fleet = Fleet::start().await;
    let running = long_run(&fleet).await;

    fleet.redis.kill();
    running.stderr.wait_for("error: stopped after ");
    let stderr = running.stderr.clone();
    let (result, code) = end(running);

    let of = |field: &str| result[field].as_u64().unwrap();
    assert_eq!(code, 3, "{result}");
    assert!(
        of("received") > 0 && of("not_sent") + of("unknown") > 0,
        "{result}"
    );
    assert_eq!(of("lost") + of("received"), of("sent"), "{result}");
    assert!(
        result["nanoseconds_per_event"]["redis"].is_null(),
        "{result}"
    );
    assert_eq!(stderr.count("error: "), 1);
}

fn short_run_as_plain(fleet: &Fleet) -> Output {
    let mut command = fleet.command();
    let url = fleet.redis.url_as("plain", PASSWORD);
    command
        .args(SHORT)
        .env("TIDINGS_URL", url)
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_ask_redis_for_its_processor_time_measures_the_rest() {
    let rules = Permissions::of_bus(NAMESPACE).unwrap().to_string();
    let rules = rules.replace("{shop}", "{bench-*}");
    let fleet =
        Fleet::start_with(|redis| redis.user(format!("plain on >{PASSWORD} {rules}"))).await;

    let output = short_run_as_plain(&fleet);

    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    assert!(stdout.contains(", Redis unknown\n"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_the_channels_is_told_which_to_grant() {
    let rules = Permissions::of_bus(NAMESPACE).unwrap();
    let fleet =
        Fleet::start_with(|redis| redis.user(format!("plain on >{PASSWORD} {rules}"))).await;

    let output = short_run_as_plain(&fleet);

    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let help = "help: a user with the channels '&tidings:{bench-*}'";
    assert!(stderr.contains(help), "{stderr}");
    let mut command = fleet.command();
    let url = fleet.redis.url_as("plain", "hush-hush-wrong");
    let output = command
        .args(SHORT)
        .env("TIDINGS_URL", url)
        .output()
        .unwrap();
    assert!(!text(&output.stderr).contains(help));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_context_is_not_measured_without_its_name() {
    let fleet = Fleet::start().await;
    let config = format!(
        "[contexts.shop]\nurl = \"{}\"\nprotect = true\n",
        fleet.redis.url()
    );
    fleet.write(".config/tidings/config.toml", &config);
    let run = |more: &[&str]| {
        let mut command = fleet.command();
        command
            .env_remove("TIDINGS_URL")
            .args(SHORT)
            .args(["-c", "shop"])
            .args(more);
        command.output().unwrap()
    };
    let refused = run(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("the context `shop` is protected"));
    assert_eq!(published(&fleet).await, 0);
    assert_eq!(run(&["--yes=shop"]).status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_measure_nothing_are_not_valid() {
    let fleet = Fleet::start().await;
    for arguments in [
        ["--rate", "0"],
        ["--size", "63"],
        ["--subscribers", "0"],
        ["--for", "0s"],
    ] {
        let (stderr, code) = fleet.fail(&[&["bench"], &arguments[..]].concat());
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
    }
}
