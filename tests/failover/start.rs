//! Starts while sentinels are down, frozen, protected, or know another master.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tidings::acl::Permissions;
use tidings::{Bus, StartError};
use tidings_testkit::{Collected, Node, Redis, Sentinels, free_port};
use tokio::time::timeout;

use super::fake_sentinel::{Answer, Fake, url_of};
use super::wait::hears_through;

/// The time for which a bus waits for sentinels to name a master.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Returns the error, and checks that it came in time.
async fn fails(url: &str) -> String {
    fails_within(TIMEOUT, url).await
}

async fn fails_within(start_timeout: Duration, url: &str) -> String {
    let begun = Instant::now();
    let start = Bus::builder(url).start_timeout(start_timeout);
    let error = start.start().await.unwrap_err();
    assert!(begun.elapsed() < start_timeout * 3, "{error:?}");
    assert!(matches!(error, StartError::Unreachable { .. }), "{error:?}");
    tidings::report(&error).to_string()
}

/// Returns the error of a start that does not wait for its timeout.
async fn refused_at_once(url: &str) -> String {
    let started = timeout(TIMEOUT, Bus::builder(url).start()).await;
    let error = started.expect("a rejection is final").unwrap_err();
    assert!(matches!(error, StartError::Refused { .. }), "{error:?}");
    tidings::report(&error).to_string()
}

#[tokio::test]
async fn one_reachable_sentinel_is_enough() {
    let mut sentinels = Sentinels::start().await;
    sentinels.sentinels_mut()[0].kill();
    sentinels.sentinels()[1].freeze();

    let node = Node::start(Bus::builder(&sentinels.url())).await;

    let ticks: Collected<u64> = node.collect("tick");
    node.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;
}

#[tokio::test]
async fn servers_and_sentinels_may_have_different_passwords() {
    let sentinels = Sentinels::builder()
        .servers(|server| server.password("hush-hush@p/word"))
        .sentinels(|sentinel| sentinel.password("hush-hush&word"))
        .start()
        .await;
    let url = format!("{}?sentinel_password=hush-hush%26word", sentinels.url());
    let node = Node::start(Bus::builder(&url)).await;
    let ticks: Collected<u64> = node.collect("tick");
    node.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;

    let wrong = format!("{}?sentinel_password=hush-hush-wrong", sentinels.url());
    for (url, words) in [(wrong, "WRONGPASS"), (sentinels.url(), "NOAUTH")] {
        let error = refused_at_once(&url).await;
        assert!(error.contains(words), "{error}");
        assert!(error.contains("`sentinel_password`"), "{error}");
        assert!(!error.contains("check the user"), "{error}");
        assert!(!error.contains("hush-hush"), "the error shows a password");
    }
}

#[tokio::test]
async fn a_sentinel_that_is_down_does_not_hide_a_password_error_of_the_others() {
    let mut sentinels = Sentinels::builder()
        .sentinels(|sentinel| sentinel.password("hush-hush"))
        .start()
        .await;
    sentinels.sentinels_mut()[0].kill();

    let error = refused_at_once(&sentinels.url()).await;

    assert!(error.contains("`sentinel_password`"), "{error}");
}

#[tokio::test]
async fn a_master_that_refuses_connections_is_named_by_its_address() {
    let master = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let sentinel = Fake::start(Answer::new(master, 1)).await;

    let error = fails_within(Duration::from_secs(1), &url_of(&[&sentinel])).await;

    let named = format!("the sentinels name {master} as the master: ");
    assert!(error.contains(&named), "{error}");
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_master_that_does_not_answer_is_named_by_its_address() {
    let master = Redis::start().await;
    master.freeze();
    let sentinel = Fake::start(Answer::new(master.address(), 1)).await;

    let error = fails_within(Duration::from_secs(1), &url_of(&[&sentinel])).await;

    let named = format!("the sentinels name {} as the master: ", master.address());
    assert!(error.contains(&named), "{error}");
}

#[tokio::test]
async fn a_wrong_password_of_the_servers_is_told_from_one_of_the_sentinels() {
    let master = Redis::builder().password("hush-hush").start().await;
    let sentinel = Fake::start(Answer::new(master.address(), 1)).await;
    let url = url_of(&[&sentinel]).replace("://", "://:wrong-hush-hush@");

    let error = refused_at_once(&url).await;

    let at = master.address().to_string();
    assert!(
        error.contains(&at) && error.contains("WRONGPASS"),
        "{error}"
    );
    assert!(!error.contains("sentinel_password"), "{error}");
}

#[tokio::test]
async fn the_minimum_permissions_suffice_to_follow_a_failover() {
    const LOGIN: &str = "on >hush-hush";
    let on_sentinels = format!("asks {LOGIN} {}", Permissions::of_sentinel());
    let on_servers = Permissions::of_bus("default").unwrap().check_role();
    let on_servers = format!("bus {LOGIN} {on_servers}");
    let sentinels = Sentinels::builder()
        .servers(|server| server.user(on_servers))
        .sentinels(|sentinel| sentinel.user(on_sentinels))
        .start()
        .await;
    let login = "sentinel_user=asks&sentinel_password=hush-hush";
    let url = format!("{}?{login}", sentinels.url_as("bus", "hush-hush"));
    let node = Node::start(Bus::builder(&url)).await;
    let ticks: Collected<u64> = node.collect("tick");

    let new = sentinels.failover().await.url();

    hears_through(&node, &new).await;
    node.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;
    assert!(node.failures().all().is_empty());
}

#[tokio::test]
async fn when_no_sentinel_answers_each_is_named_with_its_reason() {
    let ports = [free_port(), free_port()];
    let url = format!(
        "redis+sentinel://127.0.0.1:{},127.0.0.1:{}/mymaster",
        ports[0], ports[1]
    );

    let error = fails(&url).await;

    assert!(error.contains("`mymaster`"), "{error}");
    for port in ports {
        let reason = format!("127.0.0.1:{port}: connecting to a sentinel: ");
        assert!(error.contains(&reason), "{error}");
    }
}

#[tokio::test]
async fn a_master_that_no_sentinel_knows_is_rejected_at_once() {
    let mut sentinels = Sentinels::start().await;
    // A sentinel that cannot be asked changes nothing.
    sentinels.sentinels_mut()[0].kill();
    let url = sentinels.url().replace("mymaster", "theirs");

    let error = refused_at_once(&url).await;

    assert!(error.contains("`theirs`"), "{error}");
    assert!(error.contains("check the name of the master"), "{error}");
    for sentinel in &sentinels.sentinels()[1..] {
        let says = format!("{}: asking a sentinel: redis says", sentinel.address());
        assert!(error.contains(&says), "{error}");
    }
}

#[tokio::test]
async fn the_error_says_that_the_master_is_down() {
    let mut sentinels = Sentinels::start().await;
    sentinels.servers_mut().iter_mut().for_each(Redis::kill);

    let error = fails(&sentinels.url()).await;

    let refused = error.contains("refused");
    let is_down = error.contains("cannot reach the master");
    assert!(refused || is_down, "{error}");
}

#[tokio::test]
async fn a_server_that_is_no_sentinel_is_rejected_at_once() {
    let redis = Redis::start().await;
    let url = format!("redis+sentinel://{}/mymaster", redis.address());

    let error = refused_at_once(&url).await;

    let words = "redis says `ERR unknown command 'SENTINEL'` (it is not a sentinel";
    assert!(error.contains(words), "{error}");
}

#[tokio::test]
async fn the_reason_is_reported_although_the_start_timeout_ends_first() {
    let url = format!("redis+sentinel://127.0.0.1:{}/mymaster", free_port());

    let error = fails_within(Duration::from_secs(2), &url).await;

    assert!(error.contains("refused"), "{error}");
}
