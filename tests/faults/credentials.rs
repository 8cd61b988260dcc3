//! Credentials that change while a bus runs.

use std::fs;
use std::future::pending;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings::{Bus, Connection, Credentials, StartError};
use tidings_testkit::{Node, Redis, Sentinels, wait_for};

const SOON: Duration = Duration::from_secs(20);

const OLD: &str = "hush-hush-old";
const NEW: &str = "hush-hush-new";

/// A source: its answer, and the number of times that it was asked.
#[derive(Clone, Default)]
struct Vault {
    password: Arc<Mutex<&'static str>>,
    asked: Arc<AtomicU32>,
}

impl Vault {
    fn with(password: &'static str) -> Self {
        let vault = Self::default();
        vault.set(password);
        vault
    }

    fn set(&self, password: &'static str) {
        *self.password.lock().unwrap() = password;
    }

    fn builder(&self, url: &str, user: &'static str) -> tidings::BusBuilder {
        let vault = self.clone();
        Bus::builder(url).credentials(move || {
            vault.asked.fetch_add(1, Ordering::Relaxed);
            let password = *vault.password.lock().unwrap();
            async move { Ok::<_, std::io::Error>(Credentials::new(user, password)) }
        })
    }
}

async fn redis_with_shop() -> Redis {
    Redis::builder()
        .user(format!("shop on >{OLD} ~* &* +@all"))
        .start()
        .await
}

async fn replace_password(redis: &Redis) {
    let (new, old) = (format!(">{NEW}"), format!("<{OLD}"));
    redis.command(&["ACL", "SETUSER", "shop", &new, &old]).await;
}

/// Waits until the bus is rejected for its password.
async fn rejected(node: &Node) {
    wait_for("the password is rejected", SOON, async || {
        let connection = node.health().connection;
        matches!(connection, Connection::Disconnected { why, .. } if why.contains("WRONGPASS"))
    })
    .await;
}

/// Sends through an outage from which only a new password leads back.
async fn comes_back(redis: &Redis, node: &Node, rotate: impl FnOnce()) {
    let other = redis.node().await;
    let ticks = node.collect::<_, u64>("tick");
    other.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;

    replace_password(redis).await;
    redis.kill_clients().await;
    rejected(node).await;
    // Waits in the queue: the rejection is not the last word.
    let waiting = node.send_to_all("tick", &2);
    other.send_to_all("tick", &3).await.unwrap();
    rotate();

    waiting.await.unwrap();
    ticks.wait_for(|tick| *tick == 2).await;
    wait_for("the missed event is reported", SOON, async || {
        !node.gaps().all().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_bus_comes_back_with_the_new_password_of_its_source() {
    let redis = redis_with_shop().await;
    let vault = Vault::with(OLD);
    let node = Node::start(vault.builder(&redis.url(), "shop")).await;
    assert_eq!(
        vault.asked.load(Ordering::Relaxed),
        2,
        "once for each connection"
    );
    comes_back(&redis, &node, || vault.set(NEW)).await;
}

#[tokio::test]
async fn a_send_that_waited_for_a_right_password_in_vain_names_the_rejection() {
    let redis = redis_with_shop().await;
    let builder = Vault::with(OLD).builder(&redis.url(), "shop");
    let node = Node::start(builder.send_timeout(Duration::from_millis(200))).await;
    replace_password(&redis).await;
    redis.kill_clients().await;
    rejected(&node).await;

    let error = node.send_to_all("tick", &1).await.unwrap_err();

    let text = tidings::report(&error).to_string();
    assert!(text.contains("WRONGPASS"), "{text}");
}

/// A file that is removed in the end.
struct File(PathBuf);

impl File {
    fn with(name: &str, text: &str) -> Self {
        let name = format!("tidings-{}-{name}", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        fs::write(&file.0, text).unwrap();
        file
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_bus_comes_back_with_the_new_password_in_its_file() {
    let redis = redis_with_shop().await;
    let file = File::with("rotated", &format!("{OLD}\n"));
    let url = format!("redis://shop@{}", redis.address());
    let node = Node::start(Bus::builder(&url).password_file(&file.0)).await;
    comes_back(&redis, &node, || {
        fs::write(&file.0, format!("{NEW}\r\n")).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_master_behind_sentinels_gets_the_credentials_of_the_source() {
    let sentinels = Sentinels::builder()
        .servers(|server| server.password(OLD))
        .start()
        .await;
    let addresses = sentinels.addresses().map(|at| at.to_string()).join(",");
    let url = format!("redis+sentinel://{addresses}/mymaster");
    let node = Node::start(Vault::with(OLD).builder(&url, "default")).await;
    let ticks = node.collect::<_, u64>("tick");
    node.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;
}

async fn start_error(builder: tidings::BusBuilder) -> StartError {
    let builder = builder.auto_register(false);
    let error = builder
        .start_timeout(Duration::from_millis(300))
        .start()
        .await;
    error.unwrap_err()
}

#[tokio::test]
async fn a_password_of_the_source_that_redis_rejects_ends_the_start() {
    let redis = redis_with_shop().await;
    let error = start_error(Vault::with(NEW).builder(&redis.url(), "shop")).await;
    assert!(matches!(error, StartError::Refused { .. }), "{error:?}");
    let text = tidings::report(&error).to_string();
    let cure = "(check the user and the password that `credentials` or `password_file` of the \
                builder provides)";
    assert!(text.contains("WRONGPASS") && text.ends_with(cure), "{text}");
    assert!(!text.contains("hush"), "{text}");
}

#[tokio::test]
async fn a_source_that_fails_is_asked_again_until_the_start_ends() {
    let redis = Redis::start().await;
    let builder = Bus::builder(&redis.url()).password_file("/nowhere/password");
    let error = start_error(builder).await;
    assert!(matches!(error, StartError::Unreachable { .. }), "{error:?}");
    let text = tidings::report(&error).to_string();
    assert!(
        text.contains(
            "cannot get the credentials: cannot read the password file `/nowhere/password`"
        ),
        "{text}"
    );

    let hangs = Bus::builder(&redis.url()).credentials(pending::<Result<_, std::io::Error>>);
    let error = start_error(hangs).await;
    assert!(matches!(error, StartError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn two_passwords_are_rejected() {
    let redis = redis_with_shop().await;
    let builder = Vault::with(OLD).builder(&redis.url_as("shop", OLD), "shop");
    let error = start_error(builder).await;
    let text = tidings::report(&error).to_string();
    assert!(
        text.contains("it has a password, and the builder has `credentials` or a `password_file`"),
        "{text}"
    );
    assert!(!text.contains("hush"), "{text}");
}
