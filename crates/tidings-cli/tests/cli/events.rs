//! `tidings send` and `request`.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tidings::acl::Permissions;
use tidings::{BusBuilder, Context, HandlerError, TapItem, TapOptions};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::fleet::{Fleet, NAMESPACE, PASSWORD, stuck};
use crate::schema;
use crate::support::{Running, eventually, text};

/// A member that passes on the payloads of one event, and its receiver.
pub(crate) fn collecting(
    event: &'static str,
) -> (
    impl FnOnce(BusBuilder) -> BusBuilder,
    mpsc::UnboundedReceiver<Value>,
) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let handler = move |data: Value| {
        let _ = sender.send(data);
        async {}
    };
    (
        move |builder: BusBuilder| builder.on(event, handler),
        receiver,
    )
}

/// Runs `tidings` with a standard input.
pub(crate) fn with_input(fleet: &Fleet, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = fleet.command();
    command.args(arguments).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may end before it has read all.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_arrives_in_each_of_its_forms() {
    let fleet = Fleet::start().await;
    let (handler, mut received) = collecting("tick");
    let _member = fleet.member_with("api-1", handler).await;
    fleet.write("payload.json", "{\"from\": \"file\"}\n");

    let stdout = fleet.succeed(&["send", "tick", "id:=7", "name=Ada"]);

    assert!(
        stdout.starts_with("sent tick to all of shop (number 2 of node "),
        "{stdout}"
    );
    assert_eq!(
        received.recv().await,
        Some(json!({ "id": 7, "name": "Ada" }))
    );
    for (arguments, payload) in [
        (&["send", "tick"][..], Value::Null),
        (&["send", "tick", "[1,2]"], json!([1, 2])),
        (&["send", "tick", "--text", "-x"], json!("-x")),
        (
            &["send", "tick", "--file", "payload.json"],
            json!({ "from": "file" }),
        ),
    ] {
        fleet.succeed(arguments);
        assert_eq!(received.recv().await, Some(payload), "{arguments:?}");
    }
    let output = with_input(&fleet, &["send", "tick", "-"], b"{\"from\":\"stdin\"}");
    assert!(output.status.success());
    assert_eq!(received.recv().await, Some(json!({ "from": "stdin" })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_goes_to_the_members_that_it_is_addressed_to() {
    let fleet = Fleet::start().await;
    let (handler, mut first) = collecting("tick");
    let api_1 = fleet
        .member_with("api-1", |bus| handler(bus.role("api")))
        .await;
    let (handler, mut second) = collecting("tick");
    let _job = fleet
        .member_with("job-1", |bus| handler(bus.role("job")))
        .await;
    let id = api_1.id().to_string();
    for (number, to) in ["api-1", "role:api", &id, &id[..8], "others"]
        .iter()
        .enumerate()
    {
        fleet.succeed(&["send", "tick", &number.to_string(), "--to", to]);
        assert_eq!(first.recv().await, Some(json!(number)), "{to}");
    }
    assert_eq!(second.recv().await, Some(json!(4)));
    let sent = fleet.json(&["send", "tick", "--to", "api-1"]);
    assert_eq!(
        (&sent[0]["event"], &sent[0]["sequence"]),
        // The first number is that of the question for the declared names.
        (&json!("tick"), &json!(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_send_names_those_who_failed_or_were_silent() {
    let fleet = Fleet::start().await;
    let _good = fleet
        .member_with("api-1", |bus| bus.on("tick", |_: Value| async {}))
        .await;
    let summary = fleet.succeed(&["send", "tick", "--ack"]);
    assert_eq!(summary, "sent tick to all of shop\n1 handled\n");
    let fail = |_: Value| async { Err::<(), HandlerError>("no such \u{1b}[2J user".into()) };
    let _bad = fleet.member_with("api-2", |bus| bus.on("tick", fail)).await;
    let hang = |_: Value| tokio::time::sleep(Duration::from_mins(1));
    let _silent = fleet.member_with("job-1", |bus| bus.on("tick", hang)).await;
    let _other = fleet.member("web-1").await;

    let arguments = ["send", "tick", "--ack", "--timeout", "700ms"];
    let output = fleet.tidings(&arguments);
    let stdout = text(&output.stdout);

    assert_eq!(output.status.code(), Some(3), "{stdout}");
    assert_eq!(
        stdout.lines().nth(1),
        Some(
            "1 handled, 1 failed: api-2 (no such \\u{1b}[2J user), 1 without a handler: web-1, \
             1 did not respond within 700ms: job-1"
        )
    );
    let (stdout, code) = fleet.answer(&[&arguments[..], &["--json"]].concat());
    let object: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(code, 3);
    assert_eq!(object["summary"]["failed"][0]["responder"]["name"], "api-2");
    assert_eq!(object["summary"]["timed_out"][0]["name"], "job-1");
    assert_eq!(
        fleet
            .succeed(&["send", "tick", "--ack", "--to", "api-1"])
            .lines()
            .nth(1),
        Some("1 handled")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_sent() {
    let fleet = Fleet::start().await;
    let (sender, mut received) = mpsc::unbounded_channel();
    let handler = move |_: Value, context: Context| {
        let _ = sender.send(context.header("tenant").map(str::to_owned));
        async {}
    };
    let _member = fleet
        .member_with("api-1", |bus| bus.on("tick", handler))
        .await;
    fleet.succeed(&["send", "tick", "--header", "tenant=acme", "--header", "b=c"]);
    assert_eq!(received.recv().await, Some(Some("acme".to_owned())));
    fleet.succeed(&["send", "tick", "--header", "tenant=acme", "--ack"]);
    assert_eq!(received.recv().await, Some(Some("acme".to_owned())));
    let (stderr, code) = fleet.fail(&["send", "tick", "--header", "tidings.x=acme"]);
    assert_eq!(code, 2, "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_are_printed_with_those_who_are_missing() {
    let fleet = Fleet::start().await;
    let count = |name: String| async move { Ok::<_, HandlerError>(name.len()) };
    let describe = |bus: BusBuilder| bus.role("stock").on("stock.count", count);
    let _first = fleet.member_with("job-1", describe).await;
    let stdout = fleet.succeed(&["request", "stock.count", "--text", "apples"]);
    assert!(
        stdout.starts_with("job-1  6  ") && stdout.ends_with("\n1 handled\n"),
        "{stdout}"
    );
    let hang = |_: Value| tokio::time::sleep(Duration::from_mins(1));
    let _silent = fleet
        .member_with("job-3", |bus| bus.on("stock.count", hang))
        .await;
    let _other = fleet.member("api-1").await;

    let arguments = [
        "request",
        "stock.count",
        "--text",
        "apples",
        "--timeout",
        "700ms",
        "--json",
    ];
    let (stdout, code) = fleet.answer(&arguments);

    assert_eq!(code, 3, "{stdout}");
    let objects: Vec<Value> = stdout
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    let by = |name: &str| objects.iter().find(|it| it["responder"]["name"] == name);
    assert_eq!(by("job-1").unwrap()["value"], 6);
    assert_eq!(by("api-1").unwrap()["error"], "it has no handler");
    assert_eq!(
        objects.last().unwrap()["summary"]["timed_out"][0]["name"],
        "job-3"
    );
    let stdout = fleet.succeed(&[
        "request",
        "stock.count",
        "--text",
        "x",
        "--to",
        "role:stock",
    ]);
    assert!(stdout.starts_with("job-1  1  "), "{stdout}");
    let arguments = [&arguments[..6], &["--to", "job-3"]].concat();
    assert_eq!(fleet.answer(&arguments).1, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_responses_do_nothing_to_the_terminal() {
    let fleet = Fleet::start().await;
    let hostile = "x\u{1b}[2J\r\n\u{9b}2J\u{202e}\0";
    let answer = move |_: Value| async move { Ok::<_, HandlerError>(hostile) };
    let _member = fleet
        .member_with(hostile, |bus| bus.on("tick", answer))
        .await;
    let stdout = fleet.succeed(&["request", "tick", "--color", "always"]);
    assert_eq!(stdout.lines().count(), 2, "{stdout:?}");
    assert!(!stdout.contains("\x1b[2J"), "{stdout:?}");
    assert!(
        !stdout.contains(['\r', '\0', '\u{9b}', '\u{202e}']),
        "{stdout:?}"
    );
    let responses = fleet.json(&["request", "tick"]);
    assert_eq!(responses[0]["value"], hostile);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_standard_input_are_sent_over_one_connection_in_order() {
    let fleet = Fleet::start().await;
    let (handler, mut received) = collecting("tick");
    let _member = fleet.member_with("api-1", handler).await;
    let connections = async || {
        let stats = fleet.redis.cli(&["INFO", "stats"]).await;
        let stats = stats
            .lines()
            .find_map(|it| it.strip_prefix("total_connections_received:"));
        stats.unwrap().trim().parse::<u64>().unwrap()
    };
    let before = connections().await;
    let line = |number| format!("{{\"event\":\"tick\",\"data\":{number}}}\n");
    let lines = (0..20_000).map(line).collect::<Vec<_>>().concat();

    let output = with_input(&fleet, &["send", "-"], lines.as_bytes());

    assert_eq!(text(&output.stdout), "sent 20000 events\n");
    for number in 0..20_000 {
        assert_eq!(received.recv().await, Some(json!(number)));
    }
    // A bus has two connections, and `connections` itself has one.
    assert_eq!(connections().await - before, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_no_event_is_counted_and_the_others_are_sent() {
    let fleet = Fleet::start().await;
    let (handler, mut received) = collecting("tick");
    let _member = fleet.member_with("api-1", handler).await;
    let lines = "{\"event\":\"tick\",\"data\":1}\nno \x1b[2J json\n{\"event\":\"no name\"}\n{\"event\":\"tick\",\"data\":2}\n";

    let output = with_input(&fleet, &["send", "-"], lines.as_bytes());

    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert_eq!(stdout, "sent 2 events, 2 not valid\n");
    assert!(
        stderr.contains("line 2: ") && stderr.contains("line 3: "),
        "{stderr}"
    );
    assert!(!stderr.contains('\x1b'), "{stderr:?}");
    assert_eq!(received.recv().await, Some(json!(1)));
    assert_eq!(received.recv().await, Some(json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_is_not_read_without_a_dash() {
    let fleet = Fleet::start().await;
    let mut command = fleet.command();
    // Nobody ever writes to it or closes it.
    let mut child = command
        .args(["send", "tick"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take();
    assert!(child.wait().unwrap().success());
    drop(stdin);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_context_needs_its_name() {
    let fleet = Fleet::start().await;
    let config = format!(
        "[contexts.prod]\nurl = \"{}\"\nprotect = true\n",
        fleet.redis.url()
    );
    fleet.write(".config/tidings/config.toml", &config);
    for arguments in [&["send", "tick"][..], &["request", "tick"], &["send", "-"]] {
        for yes in [None, Some("--yes"), Some("--yes=dev")] {
            let arguments = [&["-c", "prod"], arguments, yes.as_slice()].concat();
            let (stderr, code) = fleet.fail(&arguments);
            assert_eq!(code, 1, "{stderr}");
            assert!(
                stderr.contains("is protected") && stderr.contains("--yes=prod"),
                "{stderr}"
            );
        }
    }
    fleet.succeed(&["send", "tick", "-c", "prod", "--yes=prod"]);
    fleet.succeed(&["members", "-c", "prod"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_fleet_with_a_journal_is_in_the_journal() {
    let fleet = Fleet::start().await;
    let (handler, mut received) = collecting("tick");
    let journal = tidings::Journal::default();
    let member = fleet
        .member_with("api-1", |bus| handler(bus.journal(journal)))
        .await;
    member.send_to_all("tick", &1).await.unwrap();
    assert_eq!(received.recv().await, Some(json!(1)));

    let sent = fleet.json(&["send", "tick", "7"]);

    assert!(sent[0]["position"].is_string(), "{sent:?}");
    assert_eq!(received.recv().await, Some(json!(7)));
    let output = with_input(&fleet, &["send", "-"], b"{\"event\":\"tick\",\"data\":8}\n");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(received.recv().await, Some(json!(8)));
    member.shutdown(Duration::from_secs(5)).await.unwrap();
    assert!(fleet.json(&["send", "tick", "--journal"])[0]["position"].is_string());
    assert!(fleet.json(&["send", "tick"])[0]["position"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_member_declares_is_refused_with_the_one_that_may_be_meant() {
    let fleet = Fleet::start().await;
    // Nobody declares anything.
    fleet.succeed(&["send", "user.renmaed"]);
    let _silent = fleet.member("web-1").await;
    fleet.succeed(&["send", "user.renmaed"]);
    let (handler, mut received) = collecting("user.renamed");
    let _member = fleet.member_with("api-1", handler).await;

    for arguments in [
        &["send", "user.renmaed", "id:=7"][..],
        &["send", "user.renmaed", "--ack"],
        &["send", "user.renmaed", "--to", "api-1"],
    ] {
        let (stderr, code) = fleet.fail(arguments);
        assert_eq!(code, 5, "{stderr}");
        let text = "error: no member declares `user.renmaed`; did you mean `user.renamed`? \
                    (--force sends it all the same)";
        assert_eq!(stderr.trim_end(), text);
    }
    let (stderr, code) = fleet.fail(&["send", "cache.clear"]);
    assert_eq!(code, 5, "{stderr}");
    assert!(!stderr.contains("did you mean"), "{stderr}");
    // What is not valid is that error.
    assert_eq!(fleet.fail(&["send", "no name"]).1, 2);
    assert_eq!(fleet.fail(&["send", "tidings.gone"]).1, 2);
    fleet.succeed(&["send", "user.renmaed", "--force"]);
    fleet.succeed(&["send", "user.renamed", "7"]);
    assert_eq!(received.recv().await, Some(json!(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_sent_where_a_member_handles_all_names() {
    let fleet = Fleet::start().await;
    let (handler, _received) = collecting("user.renamed");
    let member = fleet.member_with("api-1", handler).await;
    let _all = member
        .subscribe_all(|_: tidings::Unknown| async {})
        .unwrap();
    fleet.succeed(&["send", "user.renmaed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_sent_with_a_warning_if_not_all_members_answer() {
    let fleet = Fleet::start().await;
    let (handler, _received) = collecting("tick");
    let _member = fleet.member_with("api-1", handler).await;
    stuck(fleet.builder("job-1"));
    let output = fleet.tidings(&["send", "tikc", "--timeout", "700ms"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let warning = "warning: no member declares `tikc`; did you mean `tick`? \
                   (not all members have answered)";
    assert!(stderr.contains(warning), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_to_several_members_goes_on_after_one_that_fails() {
    let fleet = Fleet::start().await;
    let api = |bus: BusBuilder| bus.role("api").on("tick", |_: Value| async {});
    let stays = fleet.member_with("api-1", api).await;
    // `tidings send` waits 1 s for its handlers, after it has found the members with the role.
    stuck(fleet.builder("job-1").lease(Duration::from_mins(1)));
    let send = async |more: &[&str]| {
        let leaves = fleet.member_with("api-2", api).await;
        let mut tap = stays.tap(TapOptions::new()).unwrap();
        let arguments = [&["send", "tick", "--to", "role:api"], more].concat();
        let mut running = Running::start(fleet.command().args(arguments));
        loop {
            match tap.next().await.unwrap() {
                TapItem::Event(event) if event.name() == "tidings.inspect" => break,
                _ => {}
            }
        }
        leaves.shutdown(Duration::from_secs(5)).await.unwrap();
        let code = spawn_blocking(move || (running.code(), running));
        let (code, running) = code.await.unwrap();
        assert_eq!(code, 3, "{:#?}", running.stdout.all());
        running
    };

    let plain = send(&[]).await;
    plain.stdout.wait_for("sent tick to api-1 (number ");
    plain
        .stderr
        .wait_for("error: not sent to api-2: nobody has the id ");
    let acknowledged = send(&["--ack"]).await;
    let summary = "1 handled, 1 failed: api-2 (nobody has the id ";
    acknowledged.stdout.wait_for(summary);
    let json = send(&["--json"]).await.stdout.wait_for("\"members\"");
    let object: Value = serde_json::from_str(&json).unwrap();
    schema::check("send", &object);
    let [sent, failed] = ["api-1", "api-2"].map(|name| {
        let members = object["members"].as_array().unwrap();
        members.iter().find(|it| it["name"] == name).unwrap()
    });
    assert!(sent["sequence"].is_u64() && sent["error"].is_null());
    assert!(failed["error"].is_string() && failed["sequence"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_pauses_as_the_recording_did() {
    let fleet = Fleet::start().await;
    let (handler, mut received) = collecting("tick");
    let _member = fleet.member_with("api-1", handler).await;
    let line = |at: u64| format!("{{\"v\":1,\"event\":\"tick\",\"at\":{at},\"data\":{at}}}\n");
    let lines = [line(10_000), line(11_200), line(11_000)].concat();
    let mut replay = async |arguments: &[&str]| {
        let arguments = [&["send", "-", "--replay"], arguments].concat();
        let since = Instant::now();
        let output = with_input(&fleet, &arguments, lines.as_bytes());
        assert_eq!(text(&output.stdout), "sent 3 events\n", "{output:?}");
        for at in [10_000, 11_200, 11_000] {
            assert_eq!(received.recv().await, Some(json!(at)));
        }
        since.elapsed()
    };
    assert!(replay(&[]).await >= Duration::from_millis(1_200));
    assert!(replay(&["--speed", "3"]).await >= Duration::from_millis(400));
    replay(&["--speed", "max"]).await;
    for arguments in [
        &["send", "-", "--speed", "2"][..],
        &["send", "-", "--replay", "--speed", "0"],
        &["send", "tick", "--replay"],
    ] {
        assert_eq!(fleet.fail(arguments).1, 2, "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_one_event_are_rejected_for_many() {
    let fleet = Fleet::start().await;
    for option in [&["--header", "a=b"][..], &["--to", "others"], &["--ack"]] {
        let (stderr, code) = fleet.fail(&[&["send", "-"], option].concat());
        assert_eq!(code, 2, "{option:?}: {stderr}");
        assert!(stderr.contains(option[0]), "{option:?}: {stderr}");
    }
}

/// A durable reader would not get it, and nobody would notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_list_the_members_is_warned_that_the_journal_gets_no_event() {
    let rules = Permissions::of_bus(NAMESPACE).unwrap();
    let fleet = Fleet::start_with(|redis| redis.user(format!("mute on >{PASSWORD} {rules}"))).await;
    let mut command = fleet.command();
    command.env("TIDINGS_URL", fleet.redis.url_as("mute", PASSWORD));
    let output = command.args(["send", "tick"]).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.starts_with("warning: cannot list the members") && stderr.contains("--journal"),
        "{stderr}"
    );
}

/// Redis publishes while it loads its dataset, and does not list the members.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_not_sent_past_a_journal_that_redis_has_not_loaded() {
    let fleet = Fleet::start().await;
    for command in [
        &["DEBUG", "POPULATE", "100000"][..],
        &["CONFIG", "SET", "key-load-delay", "100"],
        &[
            "CONFIG",
            "SET",
            "loading-process-events-interval-bytes",
            "1024",
        ],
    ] {
        fleet.redis.command(command).await;
    }
    let mut client = TcpStream::connect(fleet.redis.address()).unwrap();
    client.write_all(b"DEBUG RELOAD\r\n").unwrap();
    eventually("it loads", || {
        fleet.fail(&["members"]).0.contains("LOADING")
    });

    let (stderr, code) = fleet.fail(&["send", "tick"]);

    assert!(code == 1 && stderr.contains("LOADING"), "{stderr}");
}

/// The few events of a slow input fit the send buffer.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_input_is_stopped_when_redis_is_unreachable() {
    let mut fleet = Fleet::start().await;
    let (handler, mut received) = collecting("tick");
    let _member = fleet.member_with("api-1", handler).await;
    let (stdin, mut input) = std::io::pipe().unwrap();
    let mut command = fleet.command();
    let mut running = Running::start(command.args(["send", "-", "--timeout=300ms"]).stdin(stdin));
    drop(command);
    writeln!(input, r#"{{"event":"tick"}}"#).unwrap();
    assert_eq!(received.recv().await, Some(Value::Null));
    fleet.redis.kill();

    writeln!(input, r#"{{"event":"tick"}}"#).unwrap();

    let code = running.code();
    assert!([3, 4].contains(&code), "{code}");
    running.stdout.wait_for(", and stopped at line 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_in_a_pause_of_a_replay_says_what_was_sent() {
    let fleet = Fleet::start().await;
    let (handler, mut received) = collecting("tick");
    let _member = fleet.member_with("api-1", handler).await;
    let lines = "{\"event\":\"tick\",\"at\":0}\n{\"event\":\"tick\",\"at\":3600000}\n";
    fleet.write("day.ndjson", lines);
    let day = std::fs::File::open(fleet.sandbox.path("day.ndjson")).unwrap();
    let mut command = fleet.command();
    let mut running = Running::start(command.args(["send", "-", "--replay"]).stdin(day));
    assert_eq!(received.recv().await, Some(Value::Null));
    running.signal(Signal::INT);
    assert_eq!(running.code(), 3);
    running
        .stdout
        .wait_for("sent 1 event, and stopped at line 1");
}
