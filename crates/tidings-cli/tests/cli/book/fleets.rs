//! The fleet of each session.

use std::time::Duration;

use serde_json::{Value, json};
use tidings::{Bus, BusBuilder, HandlerError, Journal, NodeId};
use tidings_testkit::{RedisBuilder, wait_for};

use super::session::Stage;
use crate::contract;
use crate::fleet::{Fleet, NAMESPACE, stuck};
use crate::support::TIMEOUT;

/// The user's file of the page.
const CONFIG: &str = r#"
context = "dev"

[contexts.dev]
url = "redis://127.0.0.1"

[contexts.production]
url = "rediss+sentinel://shop@10.0.0.1,10.0.0.2/mymaster"
password_file = "/run/secrets/redis"
namespace = "shop"
protect = true
"#;

/// Starts the fleet of the session below a heading; `None` if there is none.
pub(super) async fn fleet_of(heading: &str) -> Option<Stage> {
    Some(match heading {
        "`tidings context`" => contexts().await,
        "Sending events" => sending().await,
        "Benchmark" | "Many events" | "Permissions" => stage(Fleet::start().await, vec![]),
        "Listening" => listening().await,
        "Requests" => requests().await,
        "Journal" => journal().await,
        "Shared state" => shared().await,
        "Members" => members().await,
        "Servers" => servers().await,
        "Doctor" => doctor().await,
        "Contract" => contracts().await,
        _ => return None,
    })
}

fn stage(fleet: Fleet, members: Vec<Bus>) -> Stage {
    Stage {
        fleet,
        members,
        directory: "",
        has_address: true,
        meanwhile: None,
    }
}

async fn contexts() -> Stage {
    let fleet = Fleet::start().await;
    fleet.write(".config/tidings/config.toml", CONFIG);
    fleet.write(
        "srv/shop/tidings.toml",
        "namespace = \"shop\"\ncontext = \"dev\"\n",
    );
    Stage {
        directory: "srv/shop",
        has_address: false,
        ..stage(fleet, vec![])
    }
}

/// A repository whose last commit has an older contract than its working tree.
async fn contracts() -> Stage {
    const FILE: &str = "contract/events.json";
    let stage = stage(Fleet::start().await, vec![]);
    let sandbox = &stage.fleet.sandbox;
    let with_orders = |fields: &[&str], note: &[&str]| {
        let mut contract = contract::renamed(fields, fields);
        let orders = contract::renamed(&[&["id"], note].concat(), &["id"]);
        contract["events"]["order.paid"] = orders["events"]["user.renamed"].clone();
        contract::with_hash(&contract)
    };
    stage.fleet.write(FILE, &with_orders(&["name"], &[]));
    contract::git(sandbox, &["init", "--quiet", "--initial-branch=main"]);
    contract::git(sandbox, &["add", FILE]);
    contract::git(sandbox, &["commit", "--quiet", "--message", "1.3.0"]);
    stage
        .fleet
        .write(FILE, &with_orders(&["name", "reason"], &["note"]));
    stage
}

async fn doctor() -> Stage {
    let limits = |redis: RedisBuilder| redis.config("client-output-buffer-limit", "pubsub 1mb 0 0");
    let fleet = Fleet::start_with(limits).await;
    let members = vec![fleet.member("api-1").await];
    stage(fleet, members)
}

async fn hang(_: Value) {
    tokio::time::sleep(Duration::from_mins(1)).await;
}

async fn fail(_: Value) -> Result<(), HandlerError> {
    Err("no such user".into())
}

async fn handle(_: Value) {}

async fn sending() -> Stage {
    let fleet = Fleet::start().await;
    let renamed = "user.renamed";
    let api = |bus: BusBuilder| bus.role("api").on("cache.clear", handle);
    let members = vec![
        fleet
            .member_with("api-1", |bus| api(bus).on(renamed, handle))
            .await,
        fleet
            .member_with("api-2", |bus| api(bus).on(renamed, fail))
            .await,
        fleet
            .member_with("job-1", |bus| bus.on(renamed, hang))
            .await,
        fleet
            .member_with("job-2", |bus| bus.on(renamed, handle))
            .await,
        fleet
            .member_with("job-3", |bus| bus.on(renamed, handle))
            .await,
    ];
    stage(fleet, members)
}

async fn listening() -> Stage {
    let fleet = Fleet::start().await;
    let members = vec![fleet.member("api-1").await, fleet.member("job-1").await];
    Stage {
        meanwhile: Some(|stage| Box::pin(rename_delete_and_lose(stage))),
        ..stage(fleet, members)
    }
}

/// Sends two events, and publishes two frames of a node without the three events between them.
async fn rename_delete_and_lose(stage: &Stage) {
    let renamed = json!({ "id": 7, "name": "Ada" });
    let sent = stage.members[0].send_to_all("user.renamed", &renamed);
    sent.await.unwrap();
    let deleted = json!({ "id": 9 });
    let sent = stage.members[1].send_to_others("user.deleted", &deleted);
    sent.await.unwrap();
    for sequence in [1, 5] {
        let events = r#"[{"event":"user.renamed","data":{"id":7,"name":"Grace"}}]"#;
        publish(&stage.fleet, sequence, events).await;
    }
}

async fn requests() -> Stage {
    let fleet = Fleet::start().await;
    // The response is the last one.
    let count = |_: Value| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, HandlerError>(6)
    };
    let members = vec![
        fleet.member("api-1").await,
        fleet
            .member_with("job-1", |bus| bus.on("stock.count", count))
            .await,
        fleet
            .member_with("job-3", |bus| bus.on("stock.count", hang))
            .await,
    ];
    stage(fleet, members)
}

async fn journal() -> Stage {
    let fleet = Fleet::start().await;
    let durable = |name: &'static str| {
        let journal = Journal::default().max_age(Duration::from_hours(24));
        move |bus: BusBuilder| {
            bus.journal(journal.durable(name))
                .on("user.renamed", handle)
        }
    };
    let reports = fleet.member_with("reports-1", durable("reports")).await;
    let billing = fleet.member_with("billing-1", durable("billing")).await;
    for number in 0..1_200 {
        billing.send_to_all("user.renamed", &number).await.unwrap();
    }
    reports.shutdown(Duration::from_secs(5)).await.unwrap();
    let journal = billing.journal().unwrap();
    wait_for("the position is written", TIMEOUT, async || {
        journal.positions().await.unwrap()[0].position.is_some()
    })
    .await;
    stage(fleet, vec![billing])
}

async fn shared() -> Stage {
    let fleet = Fleet::start().await;
    let api = fleet.member("api-1").await;
    let limits = api.shared("limits").unwrap();
    for per_minute in 44..=60 {
        limits
            .set(&json!({ "per_minute": per_minute }))
            .await
            .unwrap();
    }
    stage(fleet, vec![api])
}

/// The page shows this module as `shop`.
async fn rename(user: u64) -> Result<(), HandlerError> {
    if user == 0 {
        return Err("no such user".into());
    }
    Ok(())
}

/// Two members that answer, one of which has a gap and a failure, and one that does not.
async fn members() -> Stage {
    let fleet = Fleet::start().await;
    let renamed = "user.renamed";
    let api = |bus: BusBuilder| bus.role("api").version("1.4.0").on(renamed, rename);
    let first = fleet.member_with("api-1", api).await;
    // Numbers with four digits are not compared.
    for user in 0..5_000 {
        first.feed(renamed, &user).await.unwrap();
    }
    first.flush().await.unwrap();
    for sequence in [1, 5] {
        publish(&fleet, sequence, r#"[{"event":"user.renamed","data":7}]"#).await;
    }
    wait_for(
        "all is handled, and the gap is reported",
        TIMEOUT,
        async || {
            let seen = first.inspection();
            seen.handlers[0].handled >= 5_001 && !seen.gaps.is_empty()
        },
    )
    .await;
    let second = fleet.member_with("api-2", api).await;
    let job = fleet.builder("job-1").role("job").version("1.3.9");
    stuck(job.lease(Duration::from_mins(1)));
    stage(fleet, vec![first, second])
}

/// Publishes a frame of a node that is no member.
async fn publish(fleet: &Fleet, sequence: u64, events: &str) {
    let node = NodeId::new(0xbe51_bc88_2f6d_4c0e_9a41_77d0_5be2_c613);
    let frame = format!(r#"{{"v":1,"from":"{node}","seq":{sequence},"events":{events}}}"#);
    let channel = format!("tidings:{{{NAMESPACE}}}");
    let publish = ["PUBLISH", &channel, &frame];
    fleet.redis.command(&publish).await;
}

async fn servers() -> Stage {
    let fleet = Fleet::start_with(|redis| redis.config("maxmemory", "1gb")).await;
    let api = fleet.member("api-1").await;
    api.counter("visits").unwrap().add(1).await.unwrap();
    stage(fleet, vec![api])
}
