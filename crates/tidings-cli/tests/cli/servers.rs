//! `tidings servers`.

use std::process::Output;

use serde_json::Value;
use tidings::acl::Permissions;
use tidings_testkit::{Cluster, Redis, Sentinels};

use crate::fleet::{Fleet, NAMESPACE, PASSWORD, objects};
use crate::schema;
use crate::support::{Sandbox, text};

/// Runs `tidings servers` for another address than that of a fleet.
fn servers(url: &str, options: &[&str]) -> Output {
    let mut command = Sandbox::new().command();
    command.args(["servers", "--namespace", NAMESPACE, "--url", url]);
    command.args(options).output().unwrap()
}

/// Returns the valid objects of the lines.
fn lines(output: &Output) -> Vec<Value> {
    let lines = objects(&text(&output.stdout));
    for line in &lines {
        schema::check("servers", line);
    }
    lines
}

fn values<'a>(lines: &'a [Value], field: &str) -> Vec<&'a Value> {
    lines.iter().map(|line| &line[field]).collect()
}

#[tokio::test]
async fn a_single_server_is_a_row() {
    let fleet = Fleet::start().await;
    let member = fleet.member("api-1").await;
    member.counter("visits").unwrap().add(1).await.unwrap();

    let stdout = fleet.succeed(&["servers"]);

    let rows: Vec<Vec<&str>> = stdout
        .lines()
        .map(|it| it.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0].join(" "),
        "SERVER ROLE VERSION LAG MEMORY CLIENTS BEHIND KEYS OF shop"
    );
    assert_eq!(rows[1][0], fleet.redis.address().to_string());
    assert_eq!(rows[1][1], "master");
    assert_eq!(rows[1][3], "-");
    let about = format!("1 server at {}", fleet.redis.url());
    assert_eq!(stdout.lines().last(), Some(&*about));
    let [line] = &fleet.json(&["servers"])[..] else {
        panic!("one server");
    };
    assert!(line["keys"].as_u64() >= Some(2), "{line}");
    assert_eq!(line["are_keys_complete"], true);
}

#[tokio::test]
async fn a_dead_replica_of_sentinels_is_named_with_exit_code_3() {
    let mut sentinels = Sentinels::start().await;
    let url = sentinels.url();
    let output = servers(&url, &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let roles = values(&lines(&output), "role")
        .iter()
        .map(|role| role.as_str().unwrap().to_owned())
        .collect::<Vec<_>>();
    let expected = [
        "master", "replica", "replica", "sentinel", "sentinel", "sentinel",
    ];
    assert_eq!(roles, expected);

    sentinels
        .servers_mut()
        .iter_mut()
        .skip(1)
        .take(1)
        .for_each(Redis::kill);
    let output = servers(&url, &[]);

    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let stdout = text(&output.stdout);
    assert_eq!(stdout.matches("unreachable").count(), 1, "{stdout}");
    assert!(text(&output.stderr).contains("refused"), "{output:?}");
}

#[tokio::test]
async fn the_nodes_of_a_cluster_have_their_slots() {
    let cluster = Cluster::start().await;

    let output = servers(&cluster.url(), &["--json"]);

    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = lines(&output);
    assert_eq!(lines.len(), 6);
    let slots: u64 = values(&lines, "slots")
        .iter()
        .flat_map(|slots| slots.as_array().unwrap())
        .map(|range| range[1].as_u64().unwrap() - range[0].as_u64().unwrap() + 1)
        .sum();
    assert_eq!(slots, 16_384);
    let counted = values(&lines, "keys")
        .iter()
        .filter(|keys| keys.is_u64())
        .count();
    assert_eq!(counted, 1);
    let table = text(&servers(&cluster.url(), &[]).stdout);
    assert!(table.lines().next().unwrap().ends_with("SLOTS"), "{table}");
}

#[tokio::test]
async fn the_permissions_of_acl_observe_are_enough() {
    let rules = Permissions::of_bus(NAMESPACE).unwrap().observe();
    let fleet = Fleet::start_with(|redis| redis.user(format!("eye on >{PASSWORD} {rules}"))).await;
    let printed = fleet.succeed(&["acl", "--user", "eye", "--observe"]);
    let unquoted = printed.replace('\'', "");
    assert!(unquoted.contains(&rules.to_string()), "{printed}");

    let output = servers(&fleet.redis.url_as("eye", PASSWORD), &["--json"]);

    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let less = Permissions::of_bus(NAMESPACE).unwrap().see_settings();
    let user = format!("ACL SETUSER eye {less}");
    fleet
        .redis
        .command(&user.split(' ').collect::<Vec<_>>())
        .await;
    let output = servers(&fleet.redis.url_as("eye", PASSWORD), &["--json"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(text(&output.stdout).contains("\"SCAN\""), "{output:?}");
}

#[tokio::test]
async fn a_memory_address_has_no_servers() {
    let output = servers("memory:shop", &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        text(&output.stderr).contains("it has no servers"),
        "{output:?}"
    );
}
