//! Redis over TLS, and certificate errors.

use std::path::PathBuf;
use std::time::Duration;

use tidings::{Bus, StartError, Tls};
use tidings_testkit::{Certificate, Collected, Node, Redis, RedisBuilder, free_port, wait_for};
use tokio::net::TcpListener;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

/// Much less than the start timeout: waiting would not help.
const AT_ONCE: Duration = Duration::from_secs(5);

async fn node(redis: &Redis, tls: Tls) -> Node {
    Node::start(Bus::builder(&redis.tls_url()).tls(tls)).await
}

fn trusting(redis: &Redis) -> Tls {
    Tls::new().ca_file(redis.ca_file())
}

async fn hears_itself(node: &Node) {
    let ticks: Collected<u64> = node.collect("tick");
    node.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;
}

/// Returns the reason of a start that is rejected without a second attempt.
async fn refused_at_once(url: &str, tls: Tls) -> String {
    let started = timeout(AT_ONCE, Bus::builder(url).tls(tls).start()).await;
    let error = started.expect("a rejection is final").unwrap_err();
    assert!(matches!(error, StartError::Refused { .. }), "{error:?}");
    tidings::report(&error).to_string()
}

#[tokio::test]
async fn a_bus_receives_and_sends_over_tls() {
    let redis = Redis::builder().tls().start().await;
    let secret = node(&redis, trusting(&redis)).await;
    let plain = redis.node().await;
    let ticks: Collected<u64> = plain.collect("tick");

    hears_itself(&secret).await;

    ticks.wait_for_len(1).await;
    let address = secret.health().address;
    assert!(address.starts_with("rediss://"), "{address}");
}

#[tokio::test]
async fn an_address_can_set_all_tls_options() {
    let redis = Redis::builder()
        .tls_with(Certificate::new().names(["redis.example"]))
        .config("tls-auth-clients", "yes")
        .password("hush-hush p@ss word")
        .start()
        .await;
    let (certificate, key) = redis.client_certificate();
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();

    let url = format!(
        "{}/3?ca={}&cert={}&key={}&server_name=redis.example",
        redis.tls_url(),
        path(redis.ca_file()),
        path(certificate),
        path(key),
    );

    hears_itself(&Node::start(Bus::builder(&url)).await).await;
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_rejected() {
    let (redis, foreign) = tokio::join!(
        Redis::builder().tls().start(),
        Redis::builder().tls().start()
    );

    let text = refused_at_once(&redis.tls_url(), trusting(&foreign)).await;

    assert!(text.contains("not signed by a trusted authority"), "{text}");
    assert!(text.contains("Tls::ca_file"), "{text}");
}

#[tokio::test]
async fn a_certificate_that_the_system_does_not_trust_is_rejected() {
    let redis = Redis::builder().tls().start().await;

    let text = refused_at_once(&redis.tls_url(), Tls::new()).await;

    assert!(text.contains("Tls::ca_file"), "{text}");
    let unsaid = Bus::builder(&redis.tls_url()).start().await.unwrap_err();
    assert_eq!(tidings::report(&unsaid).to_string(), text);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_rejected_unless_it_is_expected() {
    let another = Certificate::new().names(["redis.example"]);
    let redis = Redis::builder().tls_with(another).start().await;

    let text = refused_at_once(&redis.tls_url(), trusting(&redis)).await;

    assert!(text.contains("is for another name"), "{text}");
    assert!(text.contains("redis.example"), "{text}");
    let expecting = trusting(&redis).server_name("redis.example");
    hears_itself(&node(&redis, expecting).await).await;
}

#[tokio::test]
async fn an_expired_certificate_is_rejected() {
    let expired = Certificate::new().expired();
    let redis = Redis::builder().tls_with(expired).start().await;

    let text = refused_at_once(&redis.tls_url(), trusting(&redis)).await;

    assert!(text.contains("certificate has expired"), "{text}");
}

fn asking_clients() -> RedisBuilder {
    Redis::builder().tls().config("tls-auth-clients", "yes")
}

#[tokio::test]
async fn a_server_that_asks_for_a_client_certificate_gets_it() {
    let redis = asking_clients().start().await;

    let text = refused_at_once(&redis.tls_url(), trusting(&redis)).await;

    assert!(
        text.contains("the server requires a client certificate"),
        "{text}"
    );
    let (certificate, key) = redis.client_certificate();
    let known = trusting(&redis).client_certificate(certificate, key);
    hears_itself(&node(&redis, known).await).await;
}

#[tokio::test]
async fn a_certificate_that_the_server_does_not_trust_is_named_as_the_cause() {
    let (redis, foreign) = tokio::join!(asking_clients().start(), asking_clients().start());
    let (certificate, key) = foreign.client_certificate();

    let unknown = trusting(&redis).client_certificate(certificate, key);
    let text = refused_at_once(&redis.tls_url(), unknown).await;

    let expected = "the server does not accept the client's certificate";
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named() {
    let redis = asking_clients().start().await;
    let (certificate, key) = redis.client_certificate();

    for (tls, file) in [
        (Tls::new().ca_file("/nowhere/ca.pem"), "/nowhere/ca.pem"),
        (Tls::new().ca_file(&key), key.to_str().unwrap()),
        (
            trusting(&redis).client_certificate(&certificate, "/nowhere/key"),
            "/nowhere/key",
        ),
    ] {
        let text = refused_at_once(&redis.tls_url(), tls).await;
        let expected = format!("cannot use the file `{file}`");
        assert!(text.contains(&expected), "{text}");
    }
}

#[tokio::test]
async fn a_key_of_another_certificate_is_rejected() {
    let (redis, foreign) = tokio::join!(asking_clients().start(), asking_clients().start());
    let (certificate, _) = redis.client_certificate();
    let (_, key) = foreign.client_certificate();

    let mixed = trusting(&redis).client_certificate(certificate, key);
    let text = refused_at_once(&redis.tls_url(), mixed).await;

    assert!(text.contains("are not a certificate and its key"), "{text}");
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_that_is_unreachable() {
    let redis = Redis::start().await;
    let url = redis.url().replace("redis:", "rediss:");

    let patience = Duration::from_secs(6);
    let started = Bus::builder(&url).start_timeout(patience).start().await;

    let text = tidings::report(&started.unwrap_err()).to_string();
    assert!(text.contains("speak TLS on this port"), "{text}");
}

#[tokio::test]
async fn nodes_and_sentinels_without_tls_are_told_from_ones_that_are_unreachable() {
    // It accepts connections, and waits for the rest of a command.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let refused = async |url: String| {
        let started = Bus::builder(&url).start_timeout(Duration::from_secs(6));
        let error = started.start().await.unwrap_err();
        tidings::report(&error).to_string()
    };
    let (cluster, sentinel) = tokio::join!(
        refused(format!("rediss+cluster://{at}")),
        refused(format!("rediss+sentinel://{at}/mymaster")),
    );

    for text in [cluster, sentinel] {
        assert!(text.contains("speak TLS on this port"), "{text}");
    }
}

#[tokio::test]
async fn a_start_waits_for_an_unreachable_server_with_that_option() {
    let url = format!("rediss://127.0.0.1:{}", free_port());

    let patience = Duration::from_millis(300);
    let started = Bus::builder(&url).start_timeout(patience).start().await;

    let error = started.unwrap_err();
    assert!(matches!(error, StartError::Unreachable { .. }), "{error:?}");
    assert!(format!("{error:?}").contains("refused"), "{error:?}");
}

#[tokio::test]
async fn a_start_without_tls_reports_that_the_server_uses_tls() {
    let redis = Redis::builder().tls().start().await;
    let url = redis.tls_url().replace("rediss:", "redis:");

    let patience = Duration::from_millis(300);
    let started = Bus::builder(&url).start_timeout(patience).start().await;

    let text = tidings::report(&started.unwrap_err()).to_string();
    assert!(text.contains("write `rediss:`"), "{text}");
}

#[tokio::test]
async fn tls_options_never_open_a_connection_without_tls() {
    let redis = Redis::start().await;

    let error = Bus::builder(&redis.url())
        .tls(Tls::new())
        .start()
        .await
        .unwrap_err();

    assert!(matches!(error, StartError::Url { .. }), "{error:?}");
    assert!(
        format!("{error:?}").contains("write `rediss:`"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_bus_reconnects_to_a_restarted_server_over_tls() {
    let mut redis = Redis::builder().tls().start().await;
    let node = node(&redis, trusting(&redis)).await;
    let ticks: Collected<u64> = node.collect("tick");

    redis.kill();
    wait_for("the outage is detected", SOON, async || {
        !node.health().is_ready()
    })
    .await;
    let (sent, ()) = tokio::join!(node.send_to_all("tick", &1), redis.start_again());

    sent.unwrap();
    ticks.wait_for_len(1).await;
    node.gaps().wait_for(|gap| gap.missed.is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_frames_pass_over_tls_in_both_directions() {
    const EVENTS: u32 = 50;
    let redis = Redis::builder().tls().start().await;
    let (one, other) = (
        node(&redis, trusting(&redis)).await,
        node(&redis, trusting(&redis)).await,
    );
    let received = [&one, &other].map(|node| node.collect::<_, (u32, String)>("text"));
    let text = "x".repeat(200_000);

    let feeding = async |from: &Node, numbers: std::ops::Range<u32>| {
        for number in numbers {
            from.feed("text", &(number, &text)).await.unwrap();
        }
        from.flush().await.unwrap();
    };
    tokio::join!(
        feeding(&one, 0..EVENTS),
        feeding(&other, EVENTS..2 * EVENTS)
    );

    for received in received {
        let received = received.wait_for_len(2 * EVENTS as usize).await;
        assert!(received.iter().all(|event| event.1 == text));
        for numbers in [0..EVENTS, EVENTS..2 * EVENTS] {
            let of_one = received.iter().map(|event| event.0);
            let of_one: Vec<_> = of_one.filter(|number| numbers.contains(number)).collect();
            assert!(of_one.iter().copied().eq(numbers));
        }
    }
}

/// Without a handler, arriving frames wake no task.
#[tokio::test]
async fn a_bus_that_only_sends_receives_over_tls_from_its_first_handler_on() {
    let redis = Redis::builder().tls().start().await;
    let builder = Bus::builder(&redis.tls_url()).tls(trusting(&redis));
    let bus = builder.auto_register(false).start().await.unwrap();
    // More than a sender may be ahead of its own echo.
    let text = "x".repeat(100_000);
    for _ in 0..100 {
        bus.feed("text", &text).await.unwrap();
    }
    bus.flush().await.unwrap();

    let ticks = Collected::default();
    let received = ticks.clone();
    bus.on("tick", move |tick: u64| {
        received.push(tick);
        std::future::ready(())
    })
    .unwrap();
    bus.send_to_all("tick", &1).await.unwrap();

    ticks.wait_for_len(1).await;
    assert_eq!(bus.health().missed, 0);
}
