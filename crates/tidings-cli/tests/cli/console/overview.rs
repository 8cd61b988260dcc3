//! Members, incidents and servers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidings::HandlerError;
use tidings_testkit::Sentinels;

use super::client::Console;
use crate::fleet::{Fleet, stuck};
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_look_has_the_members_with_what_they_say() {
    let fleet = Fleet::start().await;
    let member = fleet.member_with("api-1", |bus| {
        bus.role("api")
            .version("1.4.0")
            .on("tick", async |_: Value| {})
    });
    let member = member.await;
    stuck(fleet.builder("job-1"));
    let console = Console::start(&fleet, &[]);
    let mut stream = console.stream("");
    let look = stream.find("look", |_| true);

    let of = |name: &str| {
        let mut members = look["members"].as_array().unwrap().iter();
        members.find(|member| member["name"] == name).unwrap()
    };
    let api = of("api-1");
    assert_eq!(api["id"], json!(member.id()));
    assert_eq!(
        (&api["role"], &api["receives"]),
        (&json!("api"), &json!(true))
    );
    assert_eq!(api["inspection"]["handlers"][0]["events"], json!(["tick"]));
    let job = of("job-1");
    assert_eq!(
        (&job["receives"], &job["inspection"]),
        (&json!(false), &Value::Null)
    );
    assert!(job["silent_since"].is_u64(), "{job}");
    let totals = &look["totals"];
    assert_eq!(
        (&totals["members"], &totals["receive"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(totals["not_receiving"], 1);

    member.send_to_all("tick", &1).await.unwrap();
    let look = stream.find("look", |look| look["rates"]["per_second"] == 1);
    assert_eq!(
        look["rates"]["names"],
        json!([{ "name": "tick", "per_second": 1 }])
    );
    let again = stream.find("look", |look| look["at"] != 0);
    let job = |look: &Value| {
        look["members"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["name"] == "job-1")
            .cloned()
    };
    assert_eq!(
        job(&again).unwrap()["silent_since"],
        job(&look).unwrap()["silent_since"]
    );
    drop(member);
    stream.find("look", |look| look["totals"]["members"] == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_shows_that_it_is_alive_while_a_member_is_waited_for() {
    let fleet = Fleet::start().await;
    stuck(fleet.builder("job-1"));
    let console = Console::start(&fleet, &["--timeout", "20s"]);
    let began = Instant::now();
    let mut stream = console.stream("");
    for _ in 0..3 {
        assert_eq!(stream.text(), ":");
    }
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_and_failures_of_all_members_are_incidents() {
    let fleet = Fleet::start().await;
    let member = fleet.member_with("api-1", |bus| {
        bus.on("tick", async |_: Value| {
            Err::<(), HandlerError>("no such user".into())
        })
    });
    let member = member.await;
    let console = Console::start(&fleet, &[]);
    member.send_to_all("tick", &1).await.unwrap();
    crate::listen::publish_gap_and_unreadable(&fleet).await;
    let mut incidents = Value::Null;
    let is_there = |incidents: &Value, part: &str| incidents.to_string().contains(part);
    eventually("the incidents are there", || {
        incidents = console.api("/api/gaps");
        is_there(&incidents, "no such user") && is_there(&incidents, "\"missed\":3")
    });
    let incidents = incidents["incidents"].as_array().unwrap();
    assert!(
        incidents.iter().all(|it| it["node_name"] == "api-1"),
        "{incidents:?}"
    );
    let times: Vec<_> = incidents
        .iter()
        .map(|it| it["at"].as_u64().unwrap())
        .collect();
    assert!(times.is_sorted_by(|one, other| one >= other), "{times:?}");
    let look = console.api("/api/look");
    assert_eq!(look["problems"].as_array().unwrap().len(), incidents.len());
    assert_eq!(look["totals"]["missed_hour"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_are_those_of_the_topology() {
    let sentinels = Sentinels::start().await;
    let mut fleet = Fleet::start().await;
    let console = Console::start(&fleet, &["--url", &sentinels.url()]);
    let servers = console.api("/api/servers");
    assert_eq!(servers["kind"], "sentinel");
    let roles = servers["servers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["role"].as_str().unwrap());
    let roles: Vec<_> = roles.collect();
    assert_eq!(
        roles,
        [
            "master", "replica", "replica", "sentinel", "sentinel", "sentinel"
        ]
    );

    let console = Console::start(&fleet, &[]);
    let servers = console.api("/api/servers");
    let server = &servers["servers"][0];
    assert_eq!(server["server"], fleet.redis.address().to_string());
    assert_eq!(
        (&server["role"], &server["error"]),
        (&json!("master"), &Value::Null)
    );
    fleet.redis.kill();
    eventually("the server is gone", || {
        console.api("/api/servers")["servers"][0]["error"].is_string()
    });
}
