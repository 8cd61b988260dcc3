//! Servers that cannot be used from here, or not as they are.

use std::time::Duration;

use tidings::Bus;
use tidings_testkit::{Fault, Proxy, Redis};

use crate::doctor::examination::{examine, examine_at, examine_with};
use crate::doctor::foreign::Foreign;
use crate::doctor::settings::healthy;
use crate::fleet::{NAMESPACE, PASSWORD};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_old_is_an_error() {
    let fleet = healthy().await;
    let script =
        "return (string.gsub(redis.call('INFO'), 'redis_version:[%d.]+', 'redis_version:6.0.16'))";
    let old = Foreign::start(fleet.redis.address(), "INFO", script);
    let url = format!("redis://:{PASSWORD}@{}", old.address);
    let examination = examine_at(&fleet, &url);
    examination.has_only(&[("version", "error")]);
    assert!(examination.text("version").contains("6.0.16"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_a_warning() {
    let fleet = healthy().await;
    let script = "local time = redis.call('TIME'); return {tostring(time[1] + 90), time[2]}";
    let ahead = Foreign::start(fleet.redis.address(), "TIME", script);
    let url = format!("redis://:{PASSWORD}@{}", ahead.address);
    let examination = examine_at(&fleet, &url);
    examination.has_only(&[("clock", "warning")]);
    let text = examination.text("clock");
    assert!(
        text.contains("ahead of the clock of this machine"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_far_away_is_a_warning() {
    let fleet = healthy().await;
    let proxy = Proxy::start(fleet.redis.address()).await;
    // All questions together take longer than one may.
    proxy.set(Fault::Latency(Duration::from_millis(150)));
    let url = format!("redis://:{PASSWORD}@{}", proxy.address());
    let examination = examine_at(&fleet, &url);
    examination.has_only(&[("latency", "warning")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_a_replica_is_an_error_that_names_the_master() {
    let fleet = healthy().await;
    let replica = Redis::builder()
        .password(PASSWORD)
        .replica_of(&fleet.redis)
        .start()
        .await;
    // The bus waits until the server is the master.
    let mut command = fleet.command();
    let command = command.env("TIDINGS_URL", replica.url());
    let examination = examine_with(command.args(["--timeout", "500ms"]));
    assert_eq!(examination.code, 3);
    assert_eq!(examination.severity("role"), "error");
    let master = format!("--url redis://127.0.0.1:{}", fleet.redis.port());
    assert!(examination.cures("role")[0].ends_with(&master));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_in_two_databases_is_a_warning() {
    let fleet = healthy().await;
    let url = format!("{}/3", fleet.redis.url());
    let bus = Bus::builder(&url)
        .namespace(NAMESPACE)
        .name("api-1")
        .auto_register(false);
    let bus = bus.start().await.unwrap();
    bus.members().await.unwrap();

    let examination = examine(&fleet);
    examination.has_only(&[("database", "warning")]);
    assert!(examination.text("database").contains("also in database 3"));
    examine_at(&fleet, &url).has_only(&[]);
}
