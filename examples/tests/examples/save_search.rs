//! `save-search` from outside: its answers over HTTP, with Redis and without.

use std::process::Stdio;
use std::time::Duration;

use tidings_testkit::{Redis, wait_for};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::{Instant, timeout};

use crate::runs::example;

const SOON: Duration = Duration::from_secs(30);

/// A running service.
pub(crate) struct Service {
    at: String,
    /// Ends with the test.
    process: Child,
}

/// An answer over HTTP, with names of headers in lower case.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Service {
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        let mut process = tokio::process::Command::from(example("save-search"))
            .env_remove("REDIS_CLUSTER_URLS")
            .env("BIND", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = timeout(SOON, lines.next_line()).await.unwrap().unwrap();
        let line = line.expect("the service prints its address");
        let (_, address) = line.split_once("http://").expect("an address");
        let at = address.split(',').next().unwrap().to_owned();
        Self { at, process }
    }

    async fn ask(&self, request: &str, form: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.at).await.unwrap();
        let length = form.len();
        let request = format!(
            "{request} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {length}\r\n\r\n{form}",
            self.at
        );
        // The service may answer, and close, before it has read all of a form that is too long.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).unwrap_or_default();
        Answer {
            status: status.parse().unwrap_or_default(),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    pub(crate) async fn save(&self, key: &str, value: &str) -> Answer {
        let form = format!("key={key}&value={value}");
        self.ask("POST /save-data", &form).await
    }

    pub(crate) async fn search(&self, key: &str) -> Answer {
        self.ask("POST /search", &format!("key={key}")).await
    }
}

#[tokio::test]
async fn a_value_that_one_instance_saves_is_found_by_another() {
    let redis = Redis::start().await;
    let url = redis.url();
    let a = Service::start(&[("TIDINGS_URL", &url), ("INSTANCE", "a")]).await;
    let b = Service::start(&[("TIDINGS_URL", &url), ("INSTANCE", "b")]).await;

    assert_eq!(b.search("colour").await.status, 404);
    assert_eq!(a.save("colour", "green").await.status, 201);

    // The notification that empties the cache of the other instance may take a moment.
    wait_for("the other instance has it", SOON, async || {
        b.search("colour")
            .await
            .body
            .contains("`colour` is `green`")
    })
    .await;
    let found = b.search("colour").await;
    assert_eq!((found.status, found.header("x-cache")), (200, Some("hit")));
    assert_eq!(found.header("x-instance"), Some("b"));
    assert_eq!(found.header("age"), None);

    assert_eq!(a.ask("DELETE /data/colour", "").await.status, 204);
    wait_for("the other instance drops it", SOON, async || {
        b.search("colour").await.status == 404
    })
    .await;
}

#[tokio::test]
async fn an_input_that_is_not_valid_is_rejected() {
    let service = Service::start(&[]).await;

    assert_eq!(service.ask("GET /", "").await.status, 200);
    assert_eq!(service.save("", "green").await.status, 400);
    assert_eq!(service.search("").await.status, 400);
    assert_eq!(
        service.ask("POST /search", "colour=green").await.status,
        422
    );
    let long = "x".repeat(64 << 10);
    assert_eq!(service.save("colour", &long).await.status, 201);
    assert_eq!(
        service.save("colour", &format!("{long}x")).await.status,
        413
    );
    assert_eq!(service.save("colour", &long.repeat(9)).await.status, 413);
    let long_key = "k".repeat(1_025);
    assert_eq!(service.save(&long_key, "green").await.status, 413);
}

#[tokio::test]
async fn a_value_is_shown_as_text() {
    let service = Service::start(&[]).await;
    service.save("colour", "<b>green</b>").await;

    let found = service.search("colour").await.body;

    assert!(found.contains("&lt;b&gt;green&lt;/b&gt;"), "{found}");
}

#[tokio::test]
async fn without_redis_a_cached_value_is_stale_and_others_are_unavailable_within_a_second() {
    let redis = Redis::start().await;
    let service = Service::start(&[("TIDINGS_URL", &redis.url())]).await;
    service.save("colour", "green").await;
    wait_for("it is cached", SOON, async || {
        service.search("colour").await.header("x-cache") == Some("hit")
    })
    .await;

    drop(redis);

    wait_for("it is stale", SOON, async || {
        service.search("colour").await.header("x-cache") == Some("stale")
    })
    .await;
    let found = service.search("colour").await;
    assert_eq!(found.status, 200);
    let age: u64 = found.header("age").unwrap().parse().unwrap();
    assert!(age < 30, "{age}");
    let begun = Instant::now();
    assert_eq!(service.search("shape").await.status, 503);
    assert_eq!(service.save("shape", "round").await.status, 503);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    let ready = service.ask("GET /readyz", "").await;
    assert_eq!(ready.status, 200);
    assert!(ready.body.contains(r#""degraded":true"#), "{}", ready.body);
}

#[tokio::test]
async fn a_service_is_healthy_while_it_runs() {
    let mut service = Service::start(&[]).await;
    let check = || {
        let mut check = example("save-search");
        check
            .arg("--check")
            .env("BIND", &service.at)
            .output()
            .unwrap()
            .status
    };

    assert!(check().success());
    service.process.kill().await.unwrap();
    assert!(!check().success());
}

#[test]
fn an_address_that_is_missing_or_wrong_is_an_error_at_start() {
    for (variables, error) in [
        (&[("REDIS_CLUSTER_URLS", "")][..], "is not host:port"),
        (
            &[("REDIS_CLUSTER_URLS", "redis-1,redis-2")],
            "is not host:port",
        ),
        (&[("TIDINGS_URL", " ")], "TIDINGS_URL is empty"),
        (
            &[
                ("TIDINGS_URL", "memory:"),
                ("REDIS_CLUSTER_URLS", "redis-1:6379"),
            ],
            "not both",
        ),
    ] {
        let mut service = example("save-search");
        let output = service.envs(variables.iter().copied()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(errors.contains(error), "{errors}");
    }
}
