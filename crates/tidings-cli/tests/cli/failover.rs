//! `tidings failover`.

use std::iter::zip;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tidings::Bus;
use tidings_testkit::{Cluster, Redis, Sentinels, wait_for};

use crate::book;
use crate::fleet::{Fleet, NAMESPACE, objects};
use crate::schema;
use crate::support::{Running, Sandbox, text};

/// Sentinels that look at the servers often, because they ask for the priority every 10 s, and that do
/// not mistake the pause of a master for its death.
async fn sentinels() -> Sentinels {
    let sentinels = Sentinels::builder().down_after(Duration::from_secs(5));
    let sentinels = sentinels.start().await;
    for sentinel in sentinels.sentinels() {
        sentinel
            .command(&["SENTINEL", "DEBUG", "INFO-PERIOD", "1000"])
            .await;
    }
    sentinels
}

async fn replica(sentinels: &Sentinels) -> &Redis {
    let master = sentinels.master().await.port();
    let mut servers = sentinels.servers().iter();
    servers.find(|server| server.port() != master).unwrap()
}

async fn member(url: &str, name: &str) -> Bus {
    let builder = Bus::builder(url).namespace(NAMESPACE).name(name);
    builder.auto_register(false).start().await.unwrap()
}

fn command(sandbox: &Sandbox, url: &str, to: &Redis) -> Command {
    let mut command = sandbox.command();
    command.args(["failover", "--namespace", NAMESPACE, "--url", url, "--to"]);
    command.arg(to.address().to_string());
    command
}

fn failover(url: &str, to: &Redis, options: &[&str]) -> Output {
    command(&Sandbox::new(), url, to)
        .args(options)
        .output()
        .unwrap()
}

/// Returns what it prints as JSON.
pub(crate) async fn handed_over() -> Value {
    let sentinels = sentinels().await;
    let to = replica(&sentinels).await;
    let output = failover(&sentinels.url(), to, &["--yes", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    objects(&text(&output.stdout)).remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_is_replaced_and_all_members_receive_again() {
    let sentinels = sentinels().await;
    let url = sentinels.url();
    let _members = (member(&url, "api-1").await, member(&url, "api-2").await);
    let old = sentinels.master().await.port();
    let to = replica(&sentinels).await;

    let output = failover(&url, to, &["--yes", "--json"]);

    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let objects = objects(&text(&output.stdout));
    let [line] = &objects[..] else {
        panic!("{objects:?}");
    };
    schema::check("failover", line);
    assert_eq!(line["to"], to.address().to_string());
    assert_eq!(line["members"], 2);
    assert_eq!(line["receiving"], 2);
    assert_eq!(line["missed"], 0);
    assert_eq!(line["followed"], line["subscribers"]);
    assert_eq!(
        sentinels.wait_for_master_other_than(old).await.port(),
        to.port()
    );

    // And back, as text.
    let back = sentinels
        .servers()
        .iter()
        .find(|server| server.port() == old)
        .unwrap();
    sentinels.settle().await;
    let output = failover(&url, back, &["--yes"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stdout = text(&output.stdout);
    let printed = text(&output.stderr) + &stdout;
    let sent = printed.split_whitespace().rev().nth(2).unwrap();
    let printed = printed
        .replace(&to.address().to_string(), "10.0.0.7:6379")
        .replace(&back.address().to_string(), "10.0.0.8:6379")
        .replace(&format!("0 of {sent} events"), "0 of 12 events");
    let shown = &book::shown("cli.md", "failover")[1..];
    let is_shown = shown.len() == printed.lines().count()
        && zip(shown, printed.lines()).all(|(shown, printed)| book::is_same(shown, printed));
    assert!(is_shown, "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_cluster_is_replaced() {
    let cluster = Cluster::start().await;
    let to = cluster.replica_of("tidings:{shop}").await;
    let _member = member(&cluster.url(), "api-1").await;

    let output = failover(&cluster.url(), to, &["--yes", "--json"]);

    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let objects = objects(&text(&output.stdout));
    schema::check("failover", &objects[0]);
    assert_eq!(objects[0]["subscribers"], Value::Null);
    assert!(to.is_master().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_without_a_yes() {
    let sentinels = sentinels().await;
    let to = replica(&sentinels).await;
    let output = failover(&sentinels.url(), to, &[]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("there is no terminal to ask"), "{stderr}");

    let sandbox = Sandbox::new();
    let config = sandbox.path(".config/tidings/config.toml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    let url = sentinels.url();
    let context = format!("[contexts.production]\nurl = \"{url}\"\nprotect = true\n");
    std::fs::write(config, context).unwrap();
    let mut protected = sandbox.command();
    protected.args(["failover", "-c", "production", "--yes=dev", "--to"]);
    let output = protected.arg(to.address().to_string()).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("--yes=production"), "{stderr}");
    assert!(!to.is_master().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_killed_in_the_middle_leaves_no_paused_master() {
    let sentinels = sentinels().await;
    let old = sentinels.master().await;
    let to = replica(&sentinels).await;
    let sandbox = Sandbox::new();
    let mut running = Running::start(command(&sandbox, &sentinels.url(), to).arg("--yes"));
    running.stdout.wait_for("writes paused");
    running.signal(Signal::KILL);
    running.status();
    let began = Instant::now();

    old.command(&["SET", "colour", "green"]).await;

    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn an_address_or_a_server_that_cannot_fail_over_is_an_error() {
    let fleet = Fleet::start().await;
    let (stderr, code) = fleet.fail(&["failover", "--to", "10.0.0.8:6379", "--yes"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("a single server cannot hand over"),
        "{stderr}"
    );

    let sentinels = Sentinels::start().await;
    let url = sentinels.url();
    let (stderr, code) = fleet.fail(&["failover", "--url", &url, "--to", "10.0.0.8:6379", "--yes"]);
    assert_eq!(code, 5, "{stderr}");
    let to = replica(&sentinels).await.address().to_string();
    assert!(stderr.contains(&to), "{stderr}");
    let master = sentinels.master().await.address().to_string();
    let (stderr, code) = fleet.fail(&["failover", "--url", &url, "--to", &master, "--yes"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("it is a master"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_before_the_pause_puts_the_priority_back() {
    // These ask for the priority every 10 s.
    let sentinels = Sentinels::start().await;
    let to = replica(&sentinels).await;
    let sandbox = Sandbox::new();
    let mut running = Running::start(command(&sandbox, &sentinels.url(), to).arg("--yes"));
    let priority = async || to.cli(&["CONFIG", "GET", "replica-priority"]).await;
    wait_for("it is preferred", Duration::from_secs(30), async || {
        priority().await.ends_with("99")
    })
    .await;

    running.signal(Signal::INT);

    assert_eq!(running.code(), 1);
    running.stderr.wait_for("the failover was cancelled");
    assert!(priority().await.ends_with("100"));
    assert!(!to.is_master().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_after_the_pause_does_not_leave_a_failover_in_the_middle() {
    let sentinels = sentinels().await;
    let to = replica(&sentinels).await;
    let sandbox = Sandbox::new();
    let mut running = Running::start(command(&sandbox, &sentinels.url(), to).arg("--yes"));
    running.stdout.wait_for("writes paused");

    running.signal(Signal::INT);

    running.stderr.wait_for("it goes on");
    running.stdout.wait_for("writes resumed");
    assert_eq!(running.code(), 0);
    assert!(to.is_master().await);
}
