//! `tidings listen`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tidings::{Journal, NodeId};

use crate::fleet::{Fleet, NAMESPACE, PASSWORD, objects};
use crate::support::{Running, eventually, text};

/// Starts `tidings listen`, and waits until it receives.
pub(crate) fn listen(fleet: &Fleet, arguments: &[&str]) -> Running {
    let running = Running::start(fleet.command().arg("listen").args(arguments));
    running.stderr.wait_for("listening to shop at redis://");
    running
}

/// Ends it with Ctrl-C, and returns its last line.
fn end(mut running: Running) -> String {
    running.signal(Signal::INT);
    assert_eq!(running.code(), 0);
    running.stderr.wait_for(" missed")
}

/// Publishes a frame of a foreign program.
async fn publish(fleet: &Fleet, frame: &str) {
    let channel = format!("tidings:{{{NAMESPACE}}}");
    fleet.redis.command(&["PUBLISH", &channel, frame]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_lines_with_the_sender_and_the_recipient() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let other = fleet.member("api-2").await;
    let words = listen(&fleet, &["user.*"]);
    let json = listen(&fleet, &["--json", "--control"]);
    bus.send_to_all("user.renamed", &json!({ "id": 7 }))
        .await
        .unwrap();
    bus.send_to_others("order.placed", &1).await.unwrap();
    bus.send_to(other.id(), "user.deleted", &9).await.unwrap();
    bus.send_to_all("user.last", &"x\u{1b}[2J\n")
        .header("tenant", "acme")
        .await
        .unwrap();

    let renamed = words.stdout.wait_for("user.renamed");
    let deleted = words.stdout.wait_for("user.deleted");
    let last = words.stdout.wait_for("user.last");

    assert!(
        renamed.ends_with("  api-1  user.renamed  {\"id\":7}"),
        "{renamed}"
    );
    let to = format!("user.deleted  9  to {}", &other.id().to_string()[..8]);
    assert!(deleted.ends_with(&to), "{deleted}");
    assert!(last.ends_with(r#""x\u001b[2J\n""#), "{last}");
    assert_eq!(words.stdout.count("order.placed"), 0);
    json.stdout.wait_for("user.last");
    let lines = json.stdout.all();
    let named = |name: &str| {
        let found = lines
            .iter()
            .map(|it| serde_json::from_str::<Value>(it).unwrap());
        found.into_iter().find(|it| it["event"] == name).unwrap()
    };
    assert_eq!(named("user.renamed")["data"], json!({ "id": 7 }));
    assert_eq!(named("user.renamed")["sender_name"], "api-1");
    assert_eq!(named("order.placed")["to"], "others");
    assert_eq!(named("user.deleted")["to"], other.id().to_string());
    assert_eq!(named("user.last")["headers"], json!({ "tenant": "acme" }));
    assert!(end(words).contains("3 events of 1 node in "));
    let mut json = json;
    json.signal(Signal::TERM);
    assert_eq!(json.code(), 0);
    let last = json.stdout.wait_for("\"end\"");
    assert_eq!(objects(&last)[0]["end"]["missed"], 0);
}

/// Publishes the events 1, 5 and 6 of a foreign program, and a frame that cannot be read.
pub(crate) async fn publish_gap_and_unreadable(fleet: &Fleet) {
    let frame = |number: u64| {
        let node = NodeId::new(7);
        format!(
            r#"{{"v":1,"from":"{node}","seq":{number},"events":[{{"event":"tick","data":{number}}}]}}"#
        )
    };
    publish(fleet, &frame(1)).await;
    publish(fleet, &frame(5)).await;
    publish(fleet, "{\"v\":1,\u{1b}[2J").await;
    publish(fleet, &frame(6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_a_line_where_it_happened_and_is_in_the_last_line() {
    let fleet = Fleet::start().await;
    let words = listen(&fleet, &[]);
    let json = listen(&fleet, &["--json"]);
    publish_gap_and_unreadable(&fleet).await;

    words.stdout.wait_for("tick  6");
    json.stdout.wait_for("\"sequence\":6");

    let lines = words.stdout.all();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert!(lines[1].contains("— 3 events of node 0000"), "{lines:#?}");
    assert!(lines[3].contains("bytes that cannot be read"), "{lines:#?}");
    assert!(!lines[3].contains('\x1b'), "{lines:#?}");
    let last = end(words);
    assert!(
        last.contains("3 events of 1 node in ") && last.ends_with("; 3 missed; 1 unreadable"),
        "{last}"
    );
    let objects = objects(&json.stdout.all().join("\n"));
    assert_eq!(objects[1]["gap"]["missed"], 3);
    assert!(objects[3]["unreadable"]["error"].is_string());
    end_json(json);
}

fn end_json(mut running: Running) {
    running.signal(Signal::INT);
    assert_eq!(running.code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn count_and_time_end_it_and_too_few_events_are_code_3() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let mut one = listen(&fleet, &["--count", "2", "--json", "tick"]);
    let mut none = listen(&fleet, &["--count", "1", "--for", "300ms", "tock"]);
    let mut some = listen(&fleet, &["--for", "300ms"]);
    for number in 0..3 {
        bus.send_to_all("tick", &number).await.unwrap();
    }
    assert_eq!((one.code(), none.code(), some.code()), (0, 3, 0));
    let lines = objects(&one.stdout.all().join("\n"));
    assert_eq!((&lines[1]["data"], lines.len()), (&json!(1), 3));
    assert_eq!(lines[2]["end"]["events"], 2);
    none.stderr.wait_for("0 events of 0 nodes in ");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_quietly_when_its_reader_has_gone() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let mut command = fleet.command();
    let command = command
        .arg("listen")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut String::new()).unwrap();
    bus.send_to_all("tick", &1).await.unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    drop(stdout);

    while child.try_wait().unwrap().is_none() {
        bus.send_to_all("tick", &2).await.unwrap();
    }

    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(
        line.ends_with("tick  1\n") && !rest.contains("error"),
        "{line} {rest}"
    );
}

#[tokio::test]
async fn it_ends_by_a_signal_while_its_reader_is_stuck() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let (mut child, mut stderr) = unread(&fleet);

    // More than a pipe and the queue of lines take.
    for _ in 0..1_000 {
        bus.feed("tick", &"x".repeat(1_000)).await.unwrap();
    }
    bus.flush().await.unwrap();
    wait_until_received(&fleet, Pid::from_child(&child)).await;
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();

    let mut status = None;
    eventually("it ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    let mut error = String::new();
    stderr.read_to_string(&mut error).unwrap();
    assert!(error.contains("did not take the last lines"), "{error}");
    assert_eq!(status.unwrap().code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_told_the_exact_number_of_events_that_it_did_not_get() {
    const EVENTS: u64 = 100_000;
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let (child, _stderr) = unread(&fleet);

    // Nobody reads what it prints.
    for number in 0..EVENTS {
        bus.feed("tick", &number).await.unwrap();
    }
    bus.flush().await.unwrap();
    wait_until_received(&fleet, Pid::from_child(&child)).await;
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();

    let stdout = text(&output.stdout);
    let objects = objects(&stdout);
    let end = &objects.last().unwrap()["end"];
    let printed = objects.iter().filter(|it| it["event"] == "tick").count() as u64;
    let of = |field: &str| end[field].as_u64().unwrap();
    assert_eq!(of("events"), printed);
    assert!(of("missed") > 0 && of("not_printed") > 0, "{end}");
    assert_eq!(printed + of("missed") + of("not_printed"), EVENTS, "{end}");
}

/// Starts it without a reader of what it prints, and waits until it receives.
fn unread(fleet: &Fleet) -> (Child, BufReader<ChildStderr>) {
    let mut command = fleet.command();
    command
        .args(["listen", "--json", "tick"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut String::new()).unwrap();
    (child, stderr)
}

/// Waits until this process has received all that was sent before: no bytes are on their way from Redis,
/// and it waits for more.
async fn wait_until_received(fleet: &Fleet, process: Pid) {
    let has_backlog = async || {
        let clients = fleet.redis.cli(&["CLIENT", "LIST", "TYPE", "pubsub"]).await;
        clients
            .lines()
            .any(|it| !it.contains(" omem=0 ") || !it.contains(" oll=0 "))
    };
    while has_backlog().await || has_unread_bytes(fleet.redis.port()) || !is_asleep(process) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns whether the system has bytes of a connection to this port that are not read.
fn has_unread_bytes(port: u16) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{port:04X}");
    sockets.lines().skip(1).any(|socket| {
        // Its number, both addresses, its state, and the sizes of its queues.
        let fields: Vec<_> = socket.split_whitespace().collect();
        let is_of_port = fields[1].ends_with(&port) || fields[2].ends_with(&port);
        is_of_port && fields[4] != "00000000:00000000"
    })
}

/// Returns whether the main thread of a process waits for something.
fn is_asleep(process: Pid) -> bool {
    let stat = format!("/proc/{process}/stat");
    std::fs::read_to_string(stat).unwrap().contains(") S ")
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_are_counted_by_name() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let json = listen(&fleet, &["--rates", "--json"]);
    let words = listen(&fleet, &["--rates"]);
    bus.send_to_all("tick", &1).await.unwrap();
    bus.send_to_all("tick", &1).await.unwrap();
    json.stdout.wait_for("\"tick\":2");
    words.stdout.wait_for("2/s  tick");
    assert!(end(words).contains("2 events of 1 node in "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_is_followed_by_one_block_of_rates() {
    let fleet = Fleet::start().await;
    let json = listen(&fleet, &["--rates", "--json"]);
    let blocks = || json.stdout.all().len();
    eventually("a block of rates", || blocks() > 0);
    json.signal(Signal::STOP);
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let before = blocks();
    json.signal(Signal::CONT);
    eventually("blocks after the stall", || blocks() > before + 2);

    let lines = objects(&json.stdout.all().join("\n"));
    let times: Vec<_> = lines.iter().map(|it| it["at"].as_u64().unwrap()).collect();
    let is_apart = |pair: &[u64]| pair[1] - pair[0] >= 900;
    assert!(times.windows(2).all(is_apart), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn since_begins_with_what_the_journal_has() {
    let fleet = Fleet::start().await;
    let bus = fleet
        .member_with("api-1", |bus| bus.journal(Journal::default()))
        .await;
    for number in 1..=3 {
        bus.send_to_all("tick", &number).await.unwrap();
    }
    let past = listen(&fleet, &["--since", "10m"]);
    let now = listen(&fleet, &[]);
    past.stdout.wait_for("tick  3");
    bus.send_to_all("tick", &4).await.unwrap();
    past.stdout.wait_for("tick  4");
    now.stdout.wait_for("tick  4");
    assert_eq!((past.stdout.all().len(), now.stdout.all().len()), (4, 1));
    assert!(end(past).contains("4 events of 1 node in "));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_can_be_sent_again() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let mut recording = listen(&fleet, &["--json", "--count", "2"]);
    bus.send_to_all("tick", &1).await.unwrap();
    bus.send_to_all("tick", &json!({ "id": 2 })).await.unwrap();
    assert_eq!(recording.code(), 0);
    fleet.write("day.ndjson", &(recording.stdout.all().join("\n") + "\n"));
    let again = listen(&fleet, &[]);
    let file = std::fs::File::open(fleet.sandbox.path("day.ndjson")).unwrap();
    let output = fleet
        .command()
        .args(["send", "-"])
        .stdin(file)
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "sent 2 events\n");
    again.stdout.wait_for("tick  {\"id\":2}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_or_redis_it_fails_at_the_start() {
    let mute = format!("mute on >{PASSWORD} +@all resetchannels");
    let mut fleet = Fleet::start_with(|redis| redis.user(mute)).await;
    let url = fleet.redis.url_as("mute", PASSWORD);
    let output = fleet
        .command()
        .args(["listen", "--timeout", "1s"])
        .env("TIDINGS_URL", url)
        .output();
    let output = output.unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("ACL SETUSER mute"), "{stderr}");
    fleet.redis.kill();
    let (stderr, code) = fleet.fail(&["listen", "--timeout", "200ms"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("cannot reach redis://"), "{stderr}");
}
