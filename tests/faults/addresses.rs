//! Addresses as people write them: accepted or rejected, and never printed with a secret.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use tidings::{Bus, StartError};
use tidings_testkit::{Collected, Node, Redis, Sentinels, free_port};

use crate::log_capture;

/// Long enough for a rejection that needs no server.
const MOMENT: Duration = Duration::from_millis(100);

/// Returns everything that could be printed of one start with this address.
async fn printed(address: &str) -> String {
    let builder = Bus::builder(address)
        .auto_register(false)
        .start_timeout(MOMENT);
    let mut printed = format!("{builder:?}");
    match builder.start().await {
        Ok(bus) => {
            let _ = write!(printed, "\n{bus:?}\n{:?}", bus.health());
        }
        Err(error) => {
            let _ = write!(printed, "\n{error}\n{error:?}\n{}", tidings::report(&error));
            let mut cause = error.source();
            while let Some(source) = cause {
                let _ = write!(printed, "\n{source}\n{source:?}");
                cause = source.source();
            }
        }
    }
    printed
}

/// Connection strings of other libraries, typing errors, and passwords with characters that end a
/// part of a URL. `AT` stands for a host and port that refuse connections.
const SHAPES: [&str; 101] = [
    // StackExchange.Redis and Azure
    "AT,password=hush-hush,ssl=True,abortConnect=False",
    "AT,password=hush-hush=,ssl=True",
    "shop.redis.cache.windows.net:6380,password=hush-hush=,ssl=True,abortConnect=False",
    "shop.redis.cache.windows.net,password=hush-hush",
    "contoso5,ssl=true,password=hush-hush",
    "redis0:6380,redis1:6380,allowAdmin=true,password=hush-hush",
    "password=hush-hush,AT",
    "redis://AT,password=hush-hush,ssl=False",
    "redis://localhost,password=hush-hush",
    "redis://localhost;password=hush-hush",
    "redis://localhost password=hush-hush",
    "redis://AT/0,password=hush-hush",
    "rediss://shop.redis.cache.windows.net:6380,password=hush-hush",
    "memory:shop,password=hush-hush",
    "Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=hush-hush=",
    "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=hush-hush==",
    // key=value lists
    "host=127.0.0.1;port=1;password=hush-hush",
    "host=127.0.0.1 port=1 password=hush-hush",
    "Server=127.0.0.1:1;Password=hush-hush",
    "tcp://127.0.0.1:1?auth=hush-hush",
    "jdbc:redis://AT/0?password=hush-hush",
    "jdbc:redis://shop:hush-hush@AT/0",
    "spring.redis.url=redis://:hush-hush@AT",
    "REDIS_URL=redis://:hush-hush@AT",
    "export TIDINGS_URL=redis://:hush-hush@AT",
    // no scheme, or another one
    "hush-hush",
    "hush-hush@AT",
    ":hush-hush@AT",
    "shop:hush-hush@AT",
    "shop:hush-hush@127.0.0.1",
    "hush-hush:6379",
    "//:hush-hush@AT",
    "://:hush-hush@AT",
    "http://shop:hush-hush@AT",
    "https://AT/hush-hush",
    "amqp://shop:hush-hush@AT",
    "postgres://shop:hush-hush@AT/shop",
    "redis-socket:///tmp/redis.sock?password=hush-hush",
    "redis-sentinel://hush-hush@AT/0#mymaster",
    "redis+cluster://:hush-hush@AT/3",
    "redis+cluster://shop:hush-hush@AT,AT?pubsub=hush-hush",
    "rediss-cluster://:hush-hush@AT/hush-hush",
    "hush-hush-cluster://AT",
    // typing errors
    "redis:shop:hush-hush@AT",
    "redis:/shop:hush-hush@AT",
    "redis:///shop:hush-hush@AT",
    "redis//shop:hush-hush@AT",
    "redis;//shop:hush-hush@AT",
    "redis:\\\\shop:hush-hush@AT",
    "redsi://shop:hush-hush@AT",
    "reddis://shop:hush-hush@AT",
    "redis ://shop:hush-hush@AT",
    "REDIS://shop:hush-hush@AT/x",
    "Redis://shop:hush-hush@AT?x",
    "\"redis://:hush-hush@AT\"",
    "'redis://:hush-hush@AT'",
    "<redis://:hush-hush@AT>",
    "{\"host\":\"127.0.0.1\",\"password\":\"hush-hush\"}",
    "[\"redis://:hush-hush@AT\"]",
    "${REDIS_URL:-redis://:hush-hush@AT}",
    "redis://:${hush-hush}@AT/{db}",
    "$(cat hush-hush)",
    "%72edis://:hush-hush@AT",
    "redis%3A%2F%2F%3Ahush-hush%40AT",
    "redis://%3Ahush-hush%40127.0.0.1",
    "redis://:hush-hush\n@AT",
    "redis://:hush-hush@AT\nredis://:hush-hush@AT",
    "redis://:hush-hush @ 127.0.0.1",
    "",
    // characters of a password that end a part of a URL
    "redis://:hush#hush-hush@AT",
    "redis://:a/hush-hush@AT",
    "redis://:a?hush-hush@AT",
    "redis://:1/hush-hush@AT",
    "redis://shop:1/hush-hush@AT",
    "redis://shop:1?hush-hush@AT",
    "redis://shop:1#hush-hush@AT",
    "redis://shop/hush-hush@AT",
    "redis://shop?hush-hush=1@AT",
    "redis://shop#hush-hush@AT",
    "redis://hush-hush/@AT",
    "redis://hush-hush?@AT",
    "redis://hush-hush#@AT",
    "rediss://shop:1?ca=hush-hush@AT",
    "redis://shop:hush-hush",
    "redis://:hush-hush",
    "redis://shop:[hush-hush@AT",
    // options and paths
    "redis://AT?password=hush-hush",
    "redis://AT/0?pass=hush-hush&timeout=5",
    "redis://AT/hush-hush",
    "redis://AT?hush-hush",
    "redis+sentinel://AT/mymaster,password=hush-hush",
    "unix:///nowhere/redis.sock,password=hush-hush",
    // encoded once too often
    "redis+sentinel://AT/mymaster%3Fsentinel_password%3Dhush-hush",
    "redis+sentinel://AT/mymaster%2C%70assword%3Dhush-hush",
    "redis+sentinel://AT/%3Ahush-hush%40mymaster",
    "redis+sentinel://:hush-hush@AT,:hush-hush@AT/mymaster",
    "unix:///nowhere/redis.sock%3Fpass%3Dhush-hush",
    "memory:shop%3Fpassword%3Dhush-hush",
    "rediss://AT?cert=/c.pem&key=hush-hush%0Ahush-hush",
    "rediss://AT?cert=/c.pem&key=-----BEGIN%20PRIVATE%20KEY-----hush-hush",
    "rediss://AT?ca=-----BEGIN%20CERTIFICATE-----hush-hush",
];

#[tokio::test]
async fn no_form_of_an_address_prints_its_secret() {
    let log = log_capture::log();
    let at = format!("127.0.0.1:{}", free_port());
    let mut leaks = Vec::new();
    for shape in SHAPES {
        let printed = printed(&shape.replace("AT", &at)).await;
        if printed.contains("hush") {
            leaks.push((shape, printed));
        }
    }
    assert!(leaks.is_empty(), "{} leak: {leaks:#?}", leaks.len());
    let logged = log.all().into_iter().find(|line| line.contains("hush"));
    assert_eq!(logged, None, "the log has a secret");
}

async fn refused(address: &str) -> String {
    let builder = Bus::builder(address).auto_register(false);
    let error = builder.start_timeout(MOMENT).start().await.unwrap_err();
    assert!(matches!(error, StartError::Url { .. }), "{error:?}");
    tidings::report(&error).to_string()
}

#[tokio::test]
async fn a_special_character_in_a_password_is_rejected_with_its_encoding() {
    for address in [
        "redis://:hush#hush-hush@10.0.0.7:6379",
        "redis://:hush/hush-hush@10.0.0.7:6379",
        "redis://:hush?hush-hush@10.0.0.7:6379",
        "redis://:hush@hush-hush:w/o?r#d@10.0.0.7",
        "rediss://shop:1/hush-hush@10.0.0.7:6379",
        "redis+sentinel://shop:1#hush-hush@10.0.0.7/mymaster",
        "redis+sentinel://shop:1/hush-hush@10.0.0.7/mymaster",
        "redis+sentinel://shop:1?hush-hush@10.0.0.7/mymaster",
    ] {
        let text = refused(address).await;
        assert!(text.contains("`%23`"), "{text}");
        assert!(
            !text.contains("hush"),
            "the error shows a part of the password"
        );
    }
}

#[tokio::test]
async fn an_unknown_option_is_rejected_by_its_name() {
    for (address, name) in [
        ("redis://10.0.0.7?timeout=5", "`timeout`"),
        ("redis://10.0.0.7/0?Socket_Timeout=5", "`socket_timeout`"),
        ("redis://10.0.0.7?protocol=resp2", "`protocol`"),
        ("redis://10.0.0.7?password=hush-hush", "`password`"),
        ("redis://10.0.0.7?ca=/ca.pem", "`ca`"),
        ("rediss://10.0.0.7?ssl_cert_reqs=none", "`ssl_cert_reqs`"),
        ("unix:///run/redis.sock?password=hush-hush", "`password`"),
        (
            "redis+sentinel://10.0.0.7/m?password=hush-hush",
            "`password`",
        ),
        ("redis://10.0.0.7/1?db=2", "`db`"),
    ] {
        let text = refused(address).await;
        assert!(text.contains(name), "{address}: {text}");
        assert!(!text.contains("hush"), "the error shows a value");
    }
}

#[tokio::test]
async fn a_user_name_without_a_password_is_rejected_and_not_ignored() {
    for address in [
        "redis://hush-hush@10.0.0.7",
        "redis://hush-hush:@10.0.0.7/3",
        "unix:///run/redis.sock?user=hush-hush",
        "redis+sentinel://hush-hush@10.0.0.7/mymaster",
        "redis+sentinel://10.0.0.7/mymaster?sentinel_user=hush-hush",
    ] {
        let text = refused(address).await;
        assert!(text.contains("a user and no password"), "{text}");
        assert!(!text.contains("hush"), "what may be a password is shown");
    }
}

#[tokio::test]
async fn a_database_number_may_be_an_option_of_every_address() {
    let redis = Redis::start().await;
    for address in [
        format!("{}?db=3", redis.url()),
        format!("{}/?db=3", redis.url()),
    ] {
        let bus = Bus::builder(&address)
            .auto_register(false)
            .start()
            .await
            .unwrap();
        bus.counter("visits").unwrap().add(1).await.unwrap();
    }
    let count = redis.cli(&["-n", "3", "GET", "tidings:{default}:counter:visits"]);
    assert_eq!(count.await, "2");
}

#[tokio::test]
async fn white_space_around_an_address_is_ignored() {
    let sentinels = Sentinels::start().await;
    let master = sentinels.master().await.url();
    for address in [
        format!("{master}\n"),
        format!(" {master}"),
        format!("\t{master}/0?db=0\r\n"),
        format!("{}\r\n", sentinels.url()),
        format!(" {}?db=0 \n", sentinels.url()),
        " memory:white-space\n".to_owned(),
    ] {
        let node = Node::start(Bus::builder(&address).auto_register(false)).await;
        let ticks: Collected<u64> = node.collect("tick");
        node.send_to_all("tick", &1).await.unwrap();
        ticks.wait_for_len(1).await;
        let shown = node.health().address;
        assert_eq!(shown, shown.trim());
    }
}
