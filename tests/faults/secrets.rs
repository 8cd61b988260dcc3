//! A password is in the URL, and nowhere else.

use std::time::Duration;

use tidings::{Bus, Connection, Credentials};
use tidings_testkit::{Node, Redis, wait_for};

use crate::log_capture;

const SOON: Duration = Duration::from_secs(20);

/// Every password of the tests contains it; the output of the whole suite is searched for it.
const MARK: &str = "hush-hush";

#[track_caller]
fn hides(what: &str, text: &str) {
    assert!(!text.contains("hush"), "{what} shows the password: {text}");
}

#[tokio::test]
async fn a_password_is_never_shown() {
    let log = log_capture::log();
    let mut redis = Redis::builder()
        .user(format!("shop on >{MARK} ~* &* +@all"))
        .start()
        .await;
    let url = redis.url_as("shop", MARK);

    hides("a builder", &format!("{:?}", Bus::builder(&url)));
    let credentials = || async { Ok::<_, std::io::Error>(Credentials::new("shop", MARK)) };
    hides("credentials", &format!("{:?}", credentials().await));
    let other = Bus::builder(&redis.url()).credentials(credentials);
    hides("a builder", &format!("{other:?}"));
    let other = Node::start(other).await;
    hides("a bus", &format!("{:?}", other.bus()));
    let node = Node::start(Bus::builder(&url)).await;
    hides("a bus", &format!("{:?}", node.bus()));
    hides("its health", &format!("{:?}", node.health()));

    redis.kill();
    wait_for("the outage is detected", SOON, async || {
        !node.health().is_ready()
    })
    .await;
    hides("an outage", &format!("{:?}", node.health()));
    redis.start_again().await;
    wait_for("the bus is back", SOON, async || node.health().is_ready()).await;

    redis
        .command(&["ACL", "SETUSER", "shop", "resetpass"])
        .await;
    redis.kill_clients().await;
    wait_for("the rejection is detected", SOON, async || {
        let connection = node.health().connection;
        matches!(connection, Connection::Disconnected { why, .. } if why.contains("WRONGPASS"))
    })
    .await;
    hides("a refusal", &format!("{:?}", node.health()));
    hides("a refusal", &format!("{:?}", other.health()));

    // The search would find it here if it were logged.
    let seen = |words: &'static str| log.wait_for(move |line| line.contains(words));
    seen("disconnected").await;
    seen("cannot connect").await;
    for line in log.all() {
        hides("the log", &line);
    }
}

#[tokio::test]
async fn an_error_at_the_start_hides_the_password() {
    let redis = Redis::builder().password("other hush-hush").start().await;
    let at = redis.address();
    for url in [
        format!("redis://:{MARK}@{at}"),
        format!("redis://shop:{MARK}@{at}"),
        format!("rediss://shop:{MARK}@{at}?ca=/nowhere"),
        format!("rediss://shop:{MARK}@{at}?cert=/nowhere"),
        format!("rediss://shop:{MARK}@{at}#insecure"),
        format!("redis://shop:{MARK}@{at}/no-number"),
        format!("redis://shop:{MARK}@127.0.0.1:no-port"),
        format!("redis://shop:{MARK}?@{at}"),
        format!("redis:shop:{MARK}@{at}"),
        format!("unix:///nowhere/redis.sock?user=shop&pass={MARK}"),
        format!("redis+sentinel://shop:{MARK}/mymaster"),
        format!("redis+sentinel://shop:{MARK},{at}/mymaster"),
        format!("redis+sentinel://shop:{MARK}/or/so@{at}"),
        format!("redis+sentinel://shop:1/{MARK}?@{at}/mymaster"),
        format!("redis+sentinel://{at}/mymaster?sentinel_password=a&{MARK}"),
        format!("redis+sentinel://{at}/mymaster?db={MARK}"),
        format!("redis+sentinel://shop:{MARK}@{at}/mymaster?sentinel_password={MARK}"),
        format!("rediss+sentinel://{at}/mymaster?sentinel_password=a&{MARK}"),
        format!("http://shop:{MARK}@{at}"),
        format!("shop:{MARK}@{at}"),
        format!("{at},password={MARK},ssl=True,abortConnect=False"),
        format!("host={at};password={MARK}"),
        format!("memory:{at},password={MARK}"),
        format!("unix:///nowhere/redis.sock,password={MARK}"),
        format!("redis+sentinel://{at}/mymaster,password={MARK}"),
    ] {
        let impatient = Bus::builder(&url).start_timeout(Duration::from_millis(100));
        hides("a builder", &format!("{impatient:?}"));

        let error = impatient.start().await.unwrap_err();

        hides("a report", &tidings::report(&error).to_string());
        hides("an error", &format!("{error} {error:?}"));
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            hides("a cause", &format!("{source} {source:?}"));
            cause = source.source();
        }
    }
}
