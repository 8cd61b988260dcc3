//! Journals that a server may lose, and processes that do not read them.

use std::time::Duration;

use tidings::{Bus, HandlerOptions, Journal, Overflow};
use tidings_testkit::wait_for;

use crate::doctor::examination::{examine, paste};
use crate::doctor::settings::healthy;
use crate::fleet::{Fleet, NAMESPACE, PASSWORD};

const SECONDS: Duration = Duration::from_secs(5);

/// A durable name that is new cannot know what was trimmed before it.
const NEW_NAME: (&str, &str) = ("member-gaps", "warning");

/// A server that keeps a journal, with a member that has one.
async fn with_journal(journal: Journal) -> (Fleet, Bus) {
    let fleet = healthy().await;
    fleet
        .redis
        .command(&["CONFIG", "SET", "appendonly", "yes"])
        .await;
    let bus = fleet.member_with("api-1", |bus| bus.journal(journal)).await;
    bus.send_to_all("tick", &1).await.unwrap();
    (fleet, bus)
}

async fn set(fleet: &Fleet, name: &str, value: &str) {
    fleet.redis.command(&["CONFIG", "SET", name, value]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_loses_or_evicts_the_journal_is_found() {
    let (fleet, _member) = with_journal(Journal::default()).await;
    examine(&fleet).has_only(&[]);

    for (name, wrong, check) in [
        ("appendfsync", "no", "fsync"),
        ("appendonly", "no", "persistence"),
    ] {
        set(&fleet, name, wrong).await;
        let examination = examine(&fleet);
        examination.has_only(&[(check, "warning")]);
        paste(&examination.cures(check)[0]);
    }

    set(&fleet, "maxmemory", "1gb").await;
    set(&fleet, "maxmemory-policy", "allkeys-lfu").await;
    let examination = examine(&fleet);
    examination.has_only(&[("eviction", "error")]);
    paste(&examination.cures("eviction")[0]);
    examine(&fleet).has_only(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_name_without_persistence_is_an_error() {
    let (fleet, _member) = with_journal(Journal::default().durable("billing")).await;
    examine(&fleet).has_only(&[NEW_NAME]);
    set(&fleet, "appendonly", "no").await;
    examine(&fleet).has_only(&[("persistence", "error"), NEW_NAME]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_may_use_most_of_the_memory_is_a_warning() {
    let journal = Journal::default().durable("billing").max_bytes(50 << 20);
    let (fleet, _member) = with_journal(journal).await;
    set(&fleet, "maxmemory", "80mb").await;
    let examination = examine(&fleet);
    examination.has_only(&[("journal-memory", "warning"), NEW_NAME]);
    paste(&examination.cures("journal-memory")[0]);
    examine(&fleet).has_only(&[NEW_NAME]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retention_that_is_shorter_than_an_outage_is_an_error_and_no_member_is_needed_to_see_it()
{
    let journal = Journal::default()
        .durable("billing")
        .max_age(Duration::from_secs(1));
    let (fleet, member) = with_journal(journal).await;
    examine(&fleet).has_only(&[NEW_NAME]);
    member.shutdown(SECONDS).await.unwrap();

    wait_for("the outage is too long", SECONDS, async || {
        examine(&fleet).severity("retention") == "error"
    })
    .await;

    let examination = examine(&fleet);
    examination.has_only(&[("retention", "error")]);
    let cure = &examination.cures("retention")[0];
    assert!(cure.starts_with("tidings journal remove billing"), "{cure}");
    fleet.succeed(&["journal", "remove", "billing", "--yes"]);
    examine(&fleet).has_only(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_the_journal_of_the_others_is_an_error() {
    let fleet = healthy().await;
    set(&fleet, "appendonly", "yes").await;
    let _without = fleet.member("api-2").await;
    // Otherwise it would not start.
    fleet
        .redis
        .command(&["DEL", "tidings:{shop}:members"])
        .await;
    let journal = Journal::default();
    let _with = fleet.member_with("api-1", |bus| bus.journal(journal)).await;

    wait_for("both are members", SECONDS, async || {
        examine(&fleet).text("members").starts_with('2')
    })
    .await;

    let examination = examine(&fleet);
    // The members notice it themselves, sooner or later.
    let problems = examination.problems();
    assert!(
        problems.contains(&("member-journal", "error")),
        "{problems:?}"
    );
    assert!(examination.text("member-journal").ends_with(": api-2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_cannot_read_its_journal_is_not_ready() {
    let user = format!("api on >{PASSWORD} ~* &* +@all");
    let fleet = Fleet::start_with(|redis| redis.password(PASSWORD).user(user)).await;
    set(&fleet, "appendonly", "yes").await;
    let bus = Bus::builder(&fleet.redis.url_as("api", PASSWORD)).namespace(NAMESPACE);
    let bus = bus
        .name("api-1")
        .auto_register(false)
        .on_failure(|_| async {});
    let bus = bus.journal(Journal::default()).start().await.unwrap();
    bus.members().await.unwrap();
    bus.send_to_all("tick", &1).await.unwrap();
    examine(&fleet).has_only(&[]);

    let deny = ["ACL", "SETUSER", "api", "-xread"];
    fleet.redis.command(&deny).await;
    wait_for("it is not ready", SECONDS, async || {
        examine(&fleet).severity("member-ready") == "error"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_far_behind_the_journal_is_a_warning() {
    let (fleet, member) = with_journal(Journal::default()).await;
    let waits = HandlerOptions::new().queue(1).overflow(Overflow::Block);
    let slow = |_: u32| tokio::time::sleep(Duration::from_millis(200));
    let _handler = member.on_with("tick", waits, slow).unwrap();
    for number in 0..40_u32 {
        member.send_to_all("tick", &number).await.unwrap();
    }
    // An entry of a minute later. The member looks again soon after a send.
    let stream = "tidings:{shop}:journal";
    let last = ["XREVRANGE", stream, "+", "-", "COUNT", "1"];
    let last = fleet.redis.cli(&last).await;
    let (milliseconds, _) = last.split_once('-').unwrap();
    let later = milliseconds.parse::<u64>().unwrap() + 60_000;
    let add = ["XADD", stream, &format!("{later}-0"), "x", "y"];
    fleet.redis.command(&add).await;
    member.send_to_all("tick", &40_u32).await.unwrap();

    wait_for("it knows of the entry", SECONDS, async || {
        let problems = examine(&fleet);
        problems.problems().contains(&("journal-behind", "warning"))
    })
    .await;
}
