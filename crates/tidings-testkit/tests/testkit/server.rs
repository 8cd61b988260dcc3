//! A real server, of which nothing is left after a test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::Value;
use rustix::process::{Pid, test_kill_process};
use tidings_testkit::{Redis, wait_for};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(20);

/// Set in a copy of this test program that a test starts as a child.
const PART: &str = "TIDINGS_TESTKIT_PART";

#[tokio::test]
async fn a_started_server_answers() {
    let redis = Redis::start().await;

    let answer = redis.command(&["PING"]).await;

    assert_eq!(answer, Value::SimpleString("PONG".into()));
}

#[tokio::test]
async fn two_servers_share_nothing() {
    let (one, other) = tokio::join!(Redis::start(), Redis::start());

    one.command(&["SET", "colour", "green"]).await;

    assert_ne!(one.port(), other.port());
    assert_eq!(other.command(&["GET", "colour"]).await, Value::Nil);
}

#[tokio::test]
async fn a_killed_server_comes_back_empty_on_its_port() {
    let mut redis = Redis::start().await;
    let (url, pid) = (redis.url(), redis.pid());
    redis.command(&["SET", "colour", "green"]).await;

    redis.kill();
    assert!(!is_alive(pid));
    assert!(redis.try_command(&["PING"]).await.is_err());

    redis.start_again().await;
    assert_eq!(redis.url(), url);
    assert_ne!(redis.pid(), pid);
    assert_eq!(redis.command(&["GET", "colour"]).await, Value::Nil);
}

#[tokio::test]
async fn a_server_with_a_truncated_append_only_file_lacks_its_last_writes() {
    let redis = Redis::builder().config("appendonly", "yes");
    let mut redis = redis.config("appendfsync", "always").start().await;
    for number in 0..100 {
        redis
            .command(&["RPUSH", "numbers", &number.to_string()])
            .await;
    }
    redis.kill();

    assert_eq!(redis.truncate_append_only_file(300), 300);
    redis.start_again().await;

    let left: u64 = redis.cli(&["LLEN", "numbers"]).await.parse().unwrap();
    assert!((80..100).contains(&left), "{left}");
}

#[tokio::test]
async fn a_server_that_evicted_all_keys_accepts_new_ones() {
    let redis = Redis::start().await;
    for number in 0..1_000 {
        let name = number.to_string();
        redis.command(&["SET", &name, "value"]).await;
    }

    redis.evict_all().await;

    assert_eq!(redis.cli(&["DBSIZE"]).await, "0");
    redis.command(&["SET", "colour", "green"]).await;
    assert_eq!(redis.cli(&["GET", "colour"]).await, "green");
}

#[tokio::test]
async fn a_replica_that_is_cut_off_receives_nothing_until_it_is_restored() {
    let master = Redis::start().await;
    let replica = Redis::builder().replica_of(&master).start().await;

    replica.cut_replication().await;
    master.command(&["SET", "colour", "green"]).await;
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(replica.cli(&["EXISTS", "colour"]).await, "0");

    replica.restore_replication().await;
    wait_for("the replica has the value", SOON, async || {
        replica.cli(&["GET", "colour"]).await == "green"
    })
    .await;
}

#[tokio::test]
async fn a_restored_replica_has_the_password_of_its_master() {
    let master = Redis::builder().password("hush-hush").start().await;
    let replica = Redis::builder().replica_of(&master).start().await;

    replica.cut_replication().await;
    replica.cut_replication().await;
    master.command(&["SET", "colour", "green"]).await;
    replica.restore_replication().await;
    wait_for("the replica has the value", SOON, async || {
        replica.cli(&["GET", "colour"]).await == "green"
    })
    .await;
}

#[tokio::test]
async fn a_running_server_can_be_restarted() {
    let mut redis = Redis::start().await;
    let pid = redis.pid();

    redis.restart().await;

    assert!(!is_alive(pid));
    redis.command(&["PING"]).await;
}

#[tokio::test]
async fn a_stopped_server_is_gone_even_if_it_was_frozen() {
    let mut redis = Redis::start().await;
    let pid = redis.pid();
    redis.freeze();

    redis.stop().await;

    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_frozen_server_does_not_answer_until_it_is_resumed() {
    let redis = Redis::start().await;

    redis.freeze();
    let silence = timeout(Duration::from_millis(300), redis.try_command(&["PING"])).await;
    redis.resume();

    assert!(silence.is_err(), "a frozen server answered: {silence:?}");
    redis.command(&["PING"]).await;
}

#[tokio::test]
async fn a_paused_server_delays_commands() {
    let redis = Redis::start().await;

    redis.pause(Duration::from_secs(1)).await;
    let silence = timeout(Duration::from_millis(300), redis.try_command(&["PING"])).await;

    assert!(silence.is_err(), "a paused server answered: {silence:?}");
    redis.command(&["PING"]).await;
}

#[tokio::test]
async fn a_subscriber_that_is_too_far_behind_is_disconnected() {
    let redis = Redis::start().await;
    redis.limit_output_buffer(1 << 20).await;
    let mut subscriber = TcpStream::connect(redis.address()).await.unwrap();
    subscriber.write_all(b"SUBSCRIBE news\r\n").await.unwrap();
    subscriber.readable().await.unwrap();
    let large = "x".repeat(1 << 20);

    // It never reads, so the socket buffers fill first.
    wait_for("no subscriber is left", SOON, async || {
        redis.command(&["PUBLISH", "news", &large]).await == Value::Int(0)
    })
    .await;
}

#[tokio::test]
async fn a_replica_is_in_sync_and_can_be_promoted() {
    let mut master = Redis::builder().password("hush-hush sesame").start().await;
    let replica = Redis::builder().replica_of(&master).start().await;
    assert!(master.is_master().await && !replica.is_master().await);

    replica.promote().await;
    assert!(replica.is_master().await && master.is_master().await);
    replica.command(&["SET", "colour", "green"]).await;
    master.become_replica_of(&replica).await;

    assert!(!master.is_master().await);
    assert_eq!(master.cli(&["GET", "colour"]).await, "green");
    master.restart().await;
    assert!(master.is_master().await, "nothing was rewritten");
}

#[tokio::test]
async fn a_rewritten_configuration_survives_a_crash() {
    let mut redis = Redis::start().await;
    redis.limit_output_buffer(12_345).await;
    redis.command(&["CONFIG", "REWRITE"]).await;

    redis.restart().await;

    let get = ["CONFIG", "GET", "client-output-buffer-limit"];
    let limit = redis.cli(&get).await;
    assert!(limit.contains("pubsub 12345 0 0"), "{limit}");
}

#[tokio::test]
async fn killed_connections_are_counted_by_kind() {
    let redis = Redis::start().await;
    let client = redis::Client::open(redis.url()).unwrap();
    let sender = client.get_multiplexed_async_connection().await.unwrap();
    let mut subscriber = client.get_async_pubsub().await.unwrap();
    subscriber.subscribe("news").await.unwrap();

    assert_eq!(redis.kill_subscribers().await, 1);
    assert_eq!(redis.kill_senders().await, 1);
    assert_eq!(redis.kill_clients().await, 0);
    drop((sender, subscriber));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_test_kit_s_own_connections_are_not_counted() {
    let redis = Redis::start().await;

    for _ in 0..300 {
        redis.command(&["PING"]).await;
        assert_eq!(redis.kill_senders().await, 0);
    }
}

#[tokio::test]
async fn a_server_with_a_password_rejects_clients_without_it() {
    let redis = Redis::builder()
        .password("hush-hush, \"sesame\"")
        .start()
        .await;
    let anonymous = redis::Client::open(format!("redis://{}", redis.address())).unwrap();

    let mut connection = anonymous.get_multiplexed_async_connection().await.unwrap();
    let denied = redis::cmd("PING").exec_async(&mut connection).await;

    assert_eq!(denied.unwrap_err().code(), Some("NOAUTH"));
    redis.command(&["PING"]).await;
    assert_eq!(redis.cli(&["PING"]).await, "PONG");
}

#[tokio::test]
async fn a_user_without_a_channel_may_not_publish() {
    let redis = Redis::builder()
        .user("mute on >hush-hush ~* +@all resetchannels")
        .start()
        .await;
    let mute = redis::Client::open(redis.url_as("mute", "hush-hush")).unwrap();

    let mut mute = mute.get_multiplexed_async_connection().await.unwrap();
    let publish = redis::cmd("PUBLISH").arg("news").arg("hello").to_owned();
    let denied = publish.exec_async(&mut mute).await;

    assert_eq!(denied.unwrap_err().code(), Some("NOPERM"));
}

#[tokio::test]
async fn a_unix_socket_connects_to_the_same_server() {
    let redis = Redis::builder()
        .password("hush-hush p@ss")
        .unix_socket()
        .start()
        .await;
    redis.command(&["SET", "colour", "green"]).await;

    let client = redis::Client::open(redis.unix_url().unwrap()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let colour: String = redis::cmd("GET")
        .arg("colour")
        .query_async(&mut connection)
        .await
        .unwrap();

    assert_eq!(colour, "green");
}

#[tokio::test]
async fn a_setting_reaches_the_server() {
    let redis = Redis::builder().config("maxmemory", "1mb").start().await;

    let maxmemory = redis.cli(&["CONFIG", "GET", "maxmemory"]).await;

    assert_eq!(maxmemory, "maxmemory\n1048576");
}

#[tokio::test]
#[should_panic(expected = "the end of its log")]
async fn a_server_that_does_not_start_is_an_error() {
    Redis::builder()
        .config("no-such-setting", "1")
        .start()
        .await;
}

/// Writes a program that behaves like a server that does not start.
fn fake(directory: &Path, script: &str) -> PathBuf {
    let path = directory.join("fake-server");
    // Another process writes it: a program cannot be run while this process has it open for writing.
    let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$2" && chmod +x "$2""#;
    let mut writing = Command::new("/bin/sh");
    writing.args(["-c", write, "fake", script]).arg(&path);
    let written = writing.status().expect("a shell can be run");
    assert!(written.success());
    path
}

#[tokio::test]
#[should_panic(expected = "# in words of its own")]
async fn a_server_that_does_not_start_panics_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let server = fake(directory.path(), "echo '# in words of its own'; exit 1");
    Redis::builder().program(server).start().await;
}

#[tokio::test]
#[should_panic(expected = "no unknown settings")]
async fn an_old_server_gets_no_setting_that_it_does_not_know() {
    let directory = tempfile::tempdir().unwrap();
    let server = fake(
        directory.path(),
        r#"[ "$1" = --version ] && echo "Redis server v=6.2.14 sha=0" && exit
           grep enable-debug-command "$1" || echo "no unknown settings"
           exit 1"#,
    );
    Redis::builder().program(server).start().await;
}

#[tokio::test]
#[should_panic(expected = "pigs fly")]
async fn a_failed_wait_names_its_condition() {
    wait_for("pigs fly", Duration::from_millis(20), async || false).await;
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let redis = Redis::start().await;
    let pid = redis.pid();
    redis.freeze();

    drop(redis);

    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_server_ends_after_its_owner_was_killed() {
    if std::env::var(PART).is_ok() {
        return own_a_frozen_server().await;
    }
    let mut owner = a_copy_that_runs("server::a_server_ends_after_its_owner_was_killed")
        .spawn()
        .unwrap();
    let (pid, directory) = said_by(&mut owner);
    assert!(is_alive(pid));

    owner.kill().unwrap();
    owner.wait().unwrap();

    wait_for("the server is gone", SOON, async || !is_alive(pid)).await;
    wait_for("its directory is gone", SOON, async || {
        !std::path::Path::new(&directory).exists()
    })
    .await;
}

/// The child: prints what it owns, and waits to be killed. It ends by itself if the test fails
/// before that.
async fn own_a_frozen_server() {
    let redis = Redis::start().await;
    let directory = redis.cli(&["CONFIG", "GET", "dir"]).await;
    let directory = directory.lines().last().expect("a name and a value");
    redis.freeze();
    println!("\nowns {} {directory}", redis.pid());
    tokio::time::sleep(SOON).await;
}

fn said_by(owner: &mut Child) -> (u32, String) {
    let lines = BufReader::new(owner.stdout.take().expect("stdout is piped")).lines();
    let line = lines
        .map_while(Result::ok)
        .find(|line| line.starts_with("owns "))
        .expect("the owner prints what it owns");
    let (pid, directory) = line["owns ".len()..]
        .split_once(' ')
        .expect("a pid and a directory");
    (pid.parse().expect("a pid"), directory.to_owned())
}

#[tokio::test]
async fn a_missing_redis_server_is_a_failure_with_advice() {
    if std::env::var(PART).is_ok() {
        Redis::start().await;
        return;
    }
    let output = a_copy_that_runs("server::a_missing_redis_server_is_a_failure_with_advice")
        .env("PATH", "")
        .output()
        .unwrap();

    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it did not fail: {printed}");
    assert!(printed.contains("cargo xtask test"), "no advice: {printed}");
}

/// Runs this test program again, with this test alone.
fn a_copy_that_runs(test: &str) -> Command {
    let mut copy = Command::new(std::env::current_exe().expect("the path of this program"));
    copy.args(["--exact", test, "--nocapture"])
        .env(PART, "yes")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    copy
}

fn is_alive(pid: u32) -> bool {
    let pid = pid.try_into().ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid).is_ok())
}
