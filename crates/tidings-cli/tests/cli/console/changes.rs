//! Events that a page sends, and values that it changes.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::{Value, json};
use tidings::{Bus, Journal};
use tokio::sync::Notify;

use super::client::{Answer, Console};
use crate::book;
use crate::fleet::{Fleet, PASSWORD};
use crate::support::{Running, text};

/// A request that each path for changes takes.
const CHANGES: [(&str, &str); 4] = [
    (
        "/api/send",
        r#"{"event":"tick","to":"all","payload":"null"}"#,
    ),
    (
        "/api/state/shared",
        r#"{"do":"set","name":"limits","version":0,"value":"1"}"#,
    ),
    (
        "/api/state/map",
        r#"{"do":"set","name":"users","key":"7","value":"1"}"#,
    ),
    (
        "/api/state/counter",
        r#"{"do":"add","name":"visits","number":"1"}"#,
    ),
];

fn change(console: &Console, path: &str, body: &Value) -> Answer {
    console.post(path, &body.to_string())
}

fn send(console: &Console, event: &str, to: &str, payload: &str) -> Answer {
    let body = json!({ "event": event, "to": to, "payload": payload });
    change(console, "/api/send", &body)
}

async fn keys(fleet: &Fleet) -> String {
    fleet.redis.cli(&["DBSIZE"]).await.trim().to_owned()
}

/// Members with handlers that succeed, that fail, that never end, and none.
async fn members(fleet: &Fleet) -> Vec<Bus> {
    let good = fleet.member_with("api-1", |bus| {
        bus.role("api").on("user.renamed", |_: Value| async {})
    });
    let bad = fleet.member_with("api-2", |bus| {
        bus.role("api").on("user.renamed", |_: Value| async {
            Err::<(), _>(std::io::Error::other("no such user"))
        })
    });
    let stuck = Arc::new(Notify::new());
    let silent = fleet.member_with("job-1", move |bus| {
        bus.on("user.renamed", move |_: Value| {
            let stuck = Arc::clone(&stuck);
            async move { stuck.notified().await }
        })
    });
    vec![
        good.await,
        bad.await,
        silent.await,
        fleet.member("cron").await,
    ]
}

/// Fails unless a line about a change is the one of the book.
fn assert_shown(number: usize, line: &str) {
    let client = line.split(' ').nth(1).unwrap();
    let line = line.replace(client, "127.0.0.1:52344");
    let shown = &book::shown("console.md", "changes")[number];
    assert!(book::is_same(shown, &line), "{line}");
}

/// Returns the names in one list of a summary.
fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap().iter();
    list.map(|one| one["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_sends_an_event_and_hears_who_handled_it_failed_and_was_silent() {
    let fleet = Fleet::start().await;
    let _members = members(&fleet).await;
    let console = Console::start(&fleet, &["--allow-send", "--timeout", "1s"]);
    assert_eq!(console.api("/api/about")["allows_send"], true);
    assert_eq!(console.api("/api/about")["is_read_only"], false);
    let mut stream = console.stream("events=true");
    stream.find("look", |_| true);

    let payload = r#"{"id":18446744073709551615}"#;
    let sent = send(&console, "user.renamed", "all", payload);
    assert_eq!(sent.status, 200, "{sent:?}");
    let summary = &sent.json()["summary"];
    assert_eq!(names(&summary["handled"]), ["api-1"]);
    assert_eq!(summary["failed"][0]["responder"]["name"], "api-2");
    let error = summary["failed"][0]["error"].as_str().unwrap();
    assert!(error.contains("no such user"), "{error}");
    assert_eq!(names(&summary["timed_out"]), ["job-1"]);
    assert_eq!(names(&summary["without_handler"]), ["cron"]);
    let row = stream.row(|row| row["name"] == "user.renamed");
    // No digit of a number is lost on the way.
    assert_eq!(row["data"], json!({ "id": u64::MAX }));

    let to_role = send(&console, "user.renamed", "role:api", "{}").json();
    assert_eq!(names(&to_role["summary"]["handled"]), ["api-1"]);
    assert_eq!(to_role["summary"]["failed"].as_array().unwrap().len(), 1);
    assert_eq!(names(&to_role["summary"]["timed_out"]), Vec::<&str>::new());
    let to_one = send(&console, "user.renamed", "api-1", "{}").json();
    assert_eq!(names(&to_one["summary"]["handled"]), ["api-1"]);

    let line = console
        .running
        .stderr
        .wait_for("to role:api, 2 bytes: 1 handled");
    assert!(line.contains(" 127.0.0.1:"), "{line}");
    let all = console.running.stderr.all().join("\n");
    assert!(
        all.contains("send user.renamed to all, 27 bytes: 1 handled, 1 failed: api-2"),
        "{all}"
    );
    assert!(!all.contains("18446744073709551615"), "{all}");
    let line = console.running.stderr.wait_for("send user.renamed to all");
    assert_shown(0, &line);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_sent_says_why() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &["--allow-send"]);
    for (event, to, payload, status, text) in [
        ("user.renamed", "api-7", "1", 404, "api-7"),
        ("user.renamed", "role:none", "1", 404, "none"),
        ("", "all", "1", 400, "name"),
        ("a\nb", "all", "1", 400, "name"),
        ("tick", "all", "{", 400, "not JSON"),
        ("tick", "all", "", 400, "not JSON"),
    ] {
        let answer = send(&console, event, to, payload);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.body.contains(text), "{answer:?}");
    }
    for body in [
        "",
        "[]",
        "{}",
        r#"{"event":"tick","to":"all"}"#,
        r#"{"event":"tick","to":"all","payload":1}"#,
        r#"{"event":"tick","to":"all","payload":"1","quiet":true}"#,
        r#"{"event":"tick","event":"tock","to":"all","payload":"1"}"#,
    ] {
        assert_eq!(console.post("/api/send", body).status, 400, "{body}");
    }
    // Foreign text is one line without control characters.
    send(&console, "tick", "\u{1b}[2J\nfake", "1");
    let line = console.running.stderr.wait_for("fake");
    assert!(
        line.contains("not done") && !line.contains('\u{1b}'),
        "{line}"
    );
    // Nor is it taken for a result.
    send(&console, "tick", "all, 1 bytes: 3 handled", "1");
    let line = console.running.stderr.wait_for("3 handled");
    assert!(line.contains("to \"all, 1 bytes: 3 handled\", "), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_for_a_fleet_with_a_journal_goes_there() {
    let fleet = Fleet::start().await;
    let bus = fleet.member_with("api-1", |bus| {
        bus.journal(Journal::default())
            .on("tick", |_: Value| async {})
    });
    let _bus = bus.await;
    let console = Console::start(&fleet, &["--allow-send"]);
    let sent = send(&console, "tick", "all", "1");
    assert_eq!(names(&sent.json()["summary"]["handled"]), ["api-1"]);
    let listed = fleet.succeed(&["listen", "--since", "1h", "--for", "500ms", "--json"]);
    assert!(listed.contains("\"tick\""), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_without_the_switch() {
    let fleet = Fleet::start().await;
    let _bus = fleet.member("api-1").await;
    let before = keys(&fleet).await;
    let refused = |console: &Console, paths: &[(&str, &str)]| {
        for (path, body) in paths {
            let answer = console.post(path, body);
            assert_eq!(answer.status, 403, "{path}: {answer:?}");
            assert!(
                answer.body.contains("started without --allow"),
                "{answer:?}"
            );
            assert_eq!(answer.header("connection"), Some("close"));
        }
    };
    let console = Console::start(&fleet, &[]);
    let about = console.api("/api/about");
    assert_eq!(
        [&about["allows_send"], &about["allows_write"]],
        [&json!(false); 2]
    );
    refused(&console, &CHANGES);
    refused(&Console::start(&fleet, &["--allow-send"]), &CHANGES[1..]);
    refused(&Console::start(&fleet, &["--allow-write"]), &CHANGES[..1]);
    assert_eq!(keys(&fleet).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_has_to_pass_all_guards() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &["--allow-send", "--allow-write"]);
    let bearer = console.bearer();
    let json = ("Content-Type", "application/json");
    let token = ("Authorization", &*bearer);
    for (path, body) in CHANGES {
        for (headers, status) in [
            (&[json][..], 401),
            (&[json, ("Authorization", "Bearer 0")], 401),
            (&[token], 415),
            (&[token, ("Content-Type", "text/plain")], 415),
            (
                &[token, ("Content-Type", "application/x-www-form-urlencoded")],
                415,
            ),
            (&[token, json, json], 415),
            (&[token, json, ("Origin", "http://127.0.0.1:1")], 403),
            (&[token, json, ("Origin", "null")], 403),
            (&[token, json, ("Sec-Fetch-Site", "same-site")], 403),
            (&[token, json, ("Sec-Fetch-Site", "cross-site")], 403),
            (&[token, json, ("Content-Length", "1048577")], 413),
        ] {
            let answer = console.request("POST", path, headers, body.as_bytes());
            let answer = answer.unwrap();
            assert_eq!(answer.status, status, "{path}: {headers:?}");
        }
        let foreign = format!("POST {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n");
        assert_eq!(console.raw(foreign.as_bytes()).unwrap().status, 421);
        // Reading changes nothing, whatever it says.
        for method in ["GET", "PUT", "DELETE", "PATCH"] {
            let request = console.request(method, path, &[token, json], body.as_bytes());
            let status = request.map(|answer| answer.status);
            assert!(
                matches!(status, None | Some(405 | 413)),
                "{method}: {status:?}"
            );
        }
    }
    assert_eq!(keys(&fleet).await, "0");
    let own = format!("http://{}", console.address);
    let headers = [
        token,
        json,
        ("Origin", &*own),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    let (path, body) = CHANGES[1];
    let answer = console.request("POST", path, &headers, body.as_bytes());
    assert_eq!(answer.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_not_longer_than_a_mebibyte_in_chunks_either() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &["--allow-write"]);
    let set = |length: usize| {
        let value = format!("\"{}\"", "x".repeat(length));
        let body = json!({ "do": "set", "name": "limits", "version": 0, "value": value });
        let body = body.to_string();
        let head = console.head(
            "POST",
            "/api/state/shared",
            &[
                ("Authorization", &console.bearer()),
                ("Content-Type", "application/json"),
                ("Transfer-Encoding", "chunked"),
            ],
        );
        let size = body.len();
        let request = format!("{head}{size:x};name=value\r\n{body}\r\n0\r\n\r\n");
        console.raw(request.as_bytes()).map(|answer| answer.status)
    };
    assert!(matches!(set(1 << 20), None | Some(413)));
    assert_eq!(set(1_000_000), Some(200));
    assert_eq!(console.api("/api/state/shared?name=limits")["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_set_only_at_the_version_that_was_shown() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let limits = bus.shared::<Value>("limits").unwrap();
    limits.set(&json!({ "per_minute": 60 })).await.unwrap();
    let console = Console::start(&fleet, &["--allow-write"]);
    let set = |version: u64, value: &str| {
        let body = json!({ "do": "set", "name": "limits", "version": version, "value": value });
        change(&console, "/api/state/shared", &body)
    };
    let written = set(1, r#"{"per_minute":90}"#);
    assert_eq!(written.status, 200, "{written:?}");
    assert_eq!(written.json()["version"], 2);
    let stale = set(1, "0");
    assert_eq!(stale.status, 409);
    let (error, current) = (&stale.json()["error"], &stale.json()["current"]);
    assert_eq!(error, "limits is at version 2, not 1, and was not changed");
    assert_eq!(
        (&current["version"], &current["value"]),
        (&json!(2), &json!({ "per_minute": 90 }))
    );
    assert_eq!(set(2, "{").status, 400);
    assert_eq!(
        **limits.refresh().await.unwrap().value().unwrap(),
        json!({ "per_minute": 90 })
    );

    let clear = |version: u64| {
        let body = json!({ "do": "clear", "name": "limits", "version": version });
        change(&console, "/api/state/shared", &body)
    };
    assert_eq!(clear(1).status, 409);
    let cleared = clear(2);
    assert_eq!(
        (cleared.status, &cleared.json()["is_set"]),
        (200, &json!(false))
    );
    assert!(limits.refresh().await.unwrap().value().is_none());
    let stderr = &console.running.stderr;
    let line = stderr.wait_for(" set limits at version 1, 17 bytes: now version 2");
    assert_shown(1, &line);
    stderr.wait_for("remove limits at version 2: removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_cannot_be_decoded_is_removed() {
    let fleet = Fleet::start().await;
    let key = "tidings:{shop}:map:users";
    fleet.redis.command(&["HSET", key, "7", "foreign"]).await;
    let console = Console::start(&fleet, &["--allow-write"]);
    let remove = || {
        let body = json!({ "do": "remove", "name": "users", "key": "7" });
        change(&console, "/api/state/map", &body).status
    };
    assert_eq!(remove(), 200);
    assert_eq!(remove(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_maps_and_counters_are_changed() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let users = bus.map::<u32, Value>("users").unwrap();
    users.set(&7, &json!("Ada")).await.unwrap();
    let console = Console::start(&fleet, &["--allow-write"]);
    let map = |body: Value| change(&console, "/api/state/map", &body);
    let set = map(json!({ "do": "set", "name": "users", "key": "7", "value": "\"Bob\"" }));
    assert_eq!((set.status, &set.json()["value"]), (200, &json!("Bob")));
    let removed = map(json!({ "do": "remove", "name": "users", "key": "7" }));
    assert_eq!(removed.status, 200);
    let again = map(json!({ "do": "remove", "name": "users", "key": "7" }));
    assert_eq!(again.status, 404);
    assert_eq!(users.len().await.unwrap(), 0);

    let counter = |body: Value| change(&console, "/api/state/counter", &body);
    let add = |number: &str| counter(json!({ "do": "add", "name": "visits", "number": number }));
    assert_eq!(
        add("9007199254740993").json()["value"],
        9_007_199_254_740_993_i64
    );
    assert_eq!(add("-9007199254740000").json()["value"], 993);
    for wrong in ["", "1.5", "x", "9223372036854775808"] {
        assert_eq!(add(wrong).status, 400, "{wrong}");
    }
    let reset = counter(json!({ "do": "reset", "name": "visits" }));
    assert_eq!((reset.status, &reset.json()["value"]), (200, &json!(0)));
    let stderr = &console.running.stderr;
    stderr.wait_for("reset visits: was 993, now 0");
    for (path, body) in [
        ("/api/state/map", r#"{"do":"clear","name":"users"}"#),
        ("/api/state/counter", r#"{"name":"visits"}"#),
        (
            "/api/state/shared",
            r#"{"do":"set","name":"limits","value":"1"}"#,
        ),
        (
            "/api/state/shared",
            r#"{"do":"set","name":"","version":0,"value":"1"}"#,
        ),
    ] {
        assert_eq!(console.post(path, body).status, 400, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_context_has_to_be_named_at_the_start() {
    let fleet = Fleet::start().await;
    let context = format!(
        "[contexts.production]\nurl = \"{}\"\nprotect = true\n",
        fleet.redis.url()
    );
    fleet.write(".config/tidings/config.toml", &context);
    let start = |options: &[&str]| {
        let all = ["console", "--listen", "127.0.0.1:0", "-c", "production"];
        let mut command = fleet.command();
        command.env_remove("TIDINGS_URL").args(all);
        command.args(options);
        command
    };
    for switch in ["--allow-send", "--allow-write"] {
        let output = start(&[switch]).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("add --yes=production"), "{stderr}");
        let mut running = Running::start(&mut start(&[switch, "--yes=production"]));
        running.stdout.wait_for("http://127.0.0.1:");
        running.signal(Signal::INT);
        assert_eq!(running.code(), 0);
    }
    let running = Running::start(&mut start(&[]));
    running.stdout.wait_for("http://127.0.0.1:");
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_payloads_cannot_be_changed() {
    let fleet = Fleet::start().await;
    let (stderr, code) = fleet.fail(&["console", "--hide-payloads", "--allow-write"]);
    assert_eq!(code, 2, "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_redis_that_is_away_says_so() {
    let mut fleet = Fleet::start().await;
    let _bus = fleet.member("api-1").await;
    let options = ["--allow-send", "--allow-write", "--timeout", "300ms"];
    let console = Console::start(&fleet, &options);
    fleet.redis.kill();
    for (path, body) in CHANGES {
        let answer = console.post(path, body);
        assert!([503, 504].contains(&answer.status), "{path}: {answer:?}");
        assert!(!answer.json()["error"].as_str().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_of_a_change_that_may_have_been_made_says_unknown() {
    let fleet = Fleet::start().await;
    let _bus = fleet.member("api-1").await;
    let console = Console::start(&fleet, &["--allow-write", "--timeout", "300ms"]);
    fleet
        .redis
        .command(&["CLIENT", "PAUSE", "2000", "WRITE"])
        .await;
    let (path, body) = CHANGES[3];
    assert_eq!(console.post(path, body).status, 504);
    let line = console.running.stderr.wait_for("add 1 to visits");
    assert!(line.contains("add 1 to visits: unknown: "), "{line}");
}

/// Sends an event that is handled once the notification comes, and waits until its handler runs.
fn send_to_waiting(console: &Console) -> TcpStream {
    let mut stream = console.stream("events=true");
    stream.find("look", |_| true);
    let (path, body) = CHANGES[0];
    let head = console.head(
        "POST",
        path,
        &[
            ("Authorization", &console.bearer()),
            ("Content-Type", "application/json"),
            ("Content-Length", &body.len().to_string()),
        ],
    );
    let mut connection = console.connect();
    connection.write_all((head + body).as_bytes()).unwrap();
    stream.row(|row| row["name"] == "tick");
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_progress_at_ctrl_c_leaves_its_line() {
    let fleet = Fleet::start().await;
    let handled = Arc::new(Notify::new());
    let go = Arc::clone(&handled);
    let bus = fleet.member_with("api-1", move |bus| {
        bus.on("tick", move |_: Value| {
            let go = Arc::clone(&go);
            async move { go.notified().await }
        })
    });
    let _bus = bus.await;
    let start = || Console::start(&fleet, &["--allow-send", "--timeout", "25s"]);
    let waiting = "waiting for changes in progress";

    let mut console = start();
    let connection = send_to_waiting(&console);
    console.running.signal(Signal::INT);
    console.running.stderr.wait_for(waiting);
    handled.notify_one();
    let answer = Answer::read(&mut BufReader::new(connection)).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(console.running.code(), 0);
    console
        .running
        .stderr
        .wait_for("send tick to all, 4 bytes: 1 handled");

    let mut console = start();
    let _connection = send_to_waiting(&console);
    console.running.signal(Signal::INT);
    console.running.stderr.wait_for(waiting);
    console.running.signal(Signal::INT);
    assert_eq!(console.running.code(), 0);
    console
        .running
        .stderr
        .wait_for("send tick to all, 4 bytes: unknown: the console ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_permissions_that_the_book_names_are_enough() {
    let fleet = Fleet::start().await;
    let bus = fleet.member_with("api-1", |bus| bus.on("tick", |_: Value| async {}));
    let bus = bus.await;
    bus.shared::<u32>("limits").unwrap().set(&1).await.unwrap();
    let acl = |options: &[&str]| {
        let all = [&["acl", "--user", "eye"], options].concat();
        fleet.json(&all)[0]["rules"].as_str().unwrap().to_owned()
    };
    let look = ["--members", "--share", "--count", "--observe"];
    let rules = acl(&look);
    let password = format!(">{PASSWORD}");
    let mut set_user = vec!["ACL", "SETUSER", "eye", "on", &password];
    set_user.extend(rules.split(' '));
    fleet.redis.command(&set_user).await;
    let url = fleet
        .redis
        .url()
        .replace("redis://", "redis://eye:hush-hush@");
    let options = ["--allow-send", "--allow-write", "--url", &url, "--quiet"];
    let console = Console::start(&fleet, &options);
    let mut stream = console.stream("events=true");
    let look = stream.find("look", |look| look["members"][0]["receives"] == true);
    assert_eq!(look["members_error"], Value::Null);
    for path in [
        "state",
        "state/shared?name=limits",
        "state/map?name=users",
        "state/counter?name=visits",
    ] {
        assert_eq!(console.api(&format!("/api/{path}"))["error"], Value::Null);
    }
    let servers = console.api("/api/servers");
    assert_eq!(servers["servers"][0]["denied"], json!([]), "{servers}");
    for (path, body) in CHANGES {
        let body = body.replace("\"version\":0", "\"version\":1");
        let answer = console.post(path, &body);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    stream.row(|row| row["name"] == "tick");
}
