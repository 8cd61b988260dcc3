//! The commands that the console causes, and that it leaves nothing behind.

use std::io::Write as _;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::sleep;

use super::client::Console;
use crate::fleet::Fleet;
use crate::support::eventually;

/// The commands of a bus that does nothing.
pub(super) const SIGNS_OF_LIFE: [&str; 2] = ["publish", "ping"];

/// Returns the commands that Redis has run for others in this time.
pub(super) async fn commands_in(fleet: &Fleet, time: Duration) -> Vec<String> {
    fleet.redis.command(&["CONFIG", "RESETSTAT"]).await;
    sleep(time).await;
    let stats = fleet.redis.cli(&["INFO", "commandstats"]).await;
    let names = stats.lines().filter_map(|line| {
        let name = line.strip_prefix("cmdstat_")?.split(':').next()?;
        Some(name.to_owned())
    });
    names
        .filter(|name| {
            ![
                "config|resetstat",
                "info",
                "quit",
                "hello",
                "client|setinfo",
            ]
            .contains(&&**name)
        })
        .collect()
}

async fn keys(fleet: &Fleet) -> String {
    fleet.redis.cli(&["DBSIZE"]).await.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_signs_of_life_is_sent_to_redis_while_nobody_looks() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    let is_sign = |command: &String| SIGNS_OF_LIFE.contains(&&**command);

    let before = commands_in(&fleet, Duration::from_secs(1)).await;
    assert!(before.iter().all(is_sign), "{before:?}");

    let mut stream = console.stream("events=true");
    stream.find("look", |_| true);
    let looking = commands_in(&fleet, Duration::from_millis(1_500)).await;
    assert!(!looking.iter().all(is_sign), "{looking:?}");

    drop(stream);
    // The last look may go on for a while.
    let mut after = Vec::new();
    for _ in 0..10 {
        after = commands_in(&fleet, Duration::from_millis(1_500)).await;
        if after.iter().all(is_sign) {
            return;
        }
    }
    panic!("somebody still looks: {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_no_member_and_leaves_nothing_when_it_is_killed() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    assert_eq!(keys(&fleet).await, "0");
    let mut stream = console.stream("events=true");
    let look = stream.find("look", |_| true);
    assert_eq!(look["members"].as_array().unwrap().len(), 0);
    console.api("/api/state");
    console.api("/api/servers");
    assert_eq!(keys(&fleet).await, "0");
    // Dropping it kills the process.
    drop(console);
    let mut clients = usize::MAX;
    for _ in 0..100 {
        let list = fleet.redis.cli(&["CLIENT", "LIST"]).await;
        clients = list.lines().filter(|line| line.contains("id=")).count();
        if clients == 1 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert!(clients <= 2, "{clients}");
    assert_eq!(keys(&fleet).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_amid_a_send_it_leaves_no_key_no_member_and_no_paused_client() {
    let fleet = Fleet::start().await;
    let silent = |bus: tidings::BusBuilder| {
        bus.on("tick", |_: serde_json::Value| std::future::pending::<()>())
    };
    let bus = fleet.member_with("api-1", silent).await;
    let before = fleet.redis.cli(&["KEYS", "*"]).await;
    let mut console = Console::start(&fleet, &["--allow-send", "--allow-write"]);
    let mut stream = console.stream("events=true");
    stream.find("look", |_| true);
    let send = r#"{"event":"tick","to":"all","payload":"1"}"#;
    let head = console.head(
        "POST",
        "/api/send",
        &[
            ("Authorization", &console.bearer()),
            ("Content-Type", "application/json"),
            ("Content-Length", &send.len().to_string()),
        ],
    );
    let mut waiting = console.connect();
    waiting.write_all((head + send).as_bytes()).unwrap();
    stream.row(|row| row["name"] == "tick");
    console.running.signal(Signal::KILL);
    console.running.status();

    assert_eq!(fleet.redis.cli(&["KEYS", "*"]).await, before);
    assert_eq!(bus.members().await.unwrap().len(), 1);
    let clients = fleet.redis.cli(&["INFO", "clients"]).await;
    let is_free = |line: &str| !line.starts_with("paused_") || !line.contains("write");
    assert!(clients.lines().all(is_free), "{clients}");
    // A paused server would not answer this.
    bus.counter("visits").unwrap().add(1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_that_redis_is_away_and_goes_on_when_it_is_back() {
    let mut fleet = Fleet::start().await;
    let console = Console::start(&fleet, &["--timeout", "1s"]);
    let mut stream = console.stream("events=true");
    stream.find("look", |look| look["problem"].is_null());
    fleet.redis.kill();
    let away = stream.find("look", |look| look["problem"].is_string());
    assert_eq!(away["health"]["is_ready"], false);
    assert!(console.with_token("/api/state").status == 503);
    fleet.redis.start_again().await;
    stream.find("look", |look| {
        look["problem"].is_null() && look["health"]["is_ready"] == true
    });
    let bus = fleet.member("api-1").await;
    bus.send_to_all("tick", &1).await.unwrap();
    stream.row(|row| row["name"] == "tick");
    eventually("the state is there", || {
        console.with_token("/api/state").status == 200
    });
}
