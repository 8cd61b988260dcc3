//! Requests of hostile pages and programs.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use super::client::Console;
use crate::fleet::Fleet;
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn only_hosts_of_the_console_are_answered() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &["--host", "console.example.com"]);
    let port = console.address.port();
    let request = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let status = |request: &str| console.raw(request.as_bytes()).map(|answer| answer.status);
    for host in [
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        format!("LocalHost:{port}"),
        "console.example.com".to_owned(),
    ] {
        assert_eq!(status(&request(&host)), Some(200), "{host}");
    }
    for host in [
        format!("127.0.0.1.evil.example:{port}"),
        format!("evil.example:{port}"),
        format!("localhost.:{port}"),
        format!("0x7f.1:{port}"),
        format!("127.1:{port}"),
        format!("0.0.0.0:{port}"),
        format!("evil@127.0.0.1:{port}"),
        format!("127.0.0.1:{}", u32::from(port) + 1),
        "127.0.0.1".to_owned(),
        "localhost:80".to_owned(),
        "console.example.com.evil.example".to_owned(),
        String::new(),
    ] {
        assert_eq!(status(&request(&host)), Some(421), "{host:?}");
    }
    for request in [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\nHost: localhost:{port}\r\n\r\n"),
        format!("GET http://evil.example/ HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"),
    ] {
        let status = status(&request);
        assert!(matches!(status, Some(400 | 421)), "{request}: {status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_other_origins_are_refused() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    let bearer = console.bearer();
    let own = format!("http://{}", console.address);
    let status = |name: &str, value: &str| {
        let headers = [("Authorization", &*bearer), (name, value)];
        console.get("/api/about", &headers).status
    };
    for (name, value, expected) in [
        ("Origin", &*own, 200),
        ("Origin", "null", 403),
        ("Origin", "", 403),
        ("Origin", "http://evil.example", 403),
        ("Origin", "http://127.0.0.1:1", 403),
        ("Origin", &format!("{own}.evil.example"), 403),
        ("Origin", &own.replace("http", "file"), 403),
        ("Sec-Fetch-Site", "same-origin", 200),
        ("Sec-Fetch-Site", "none", 200),
        ("Sec-Fetch-Site", "same-site", 403),
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "", 403),
        ("Sec-Fetch-Site", "none, none", 403),
    ] {
        assert_eq!(status(name, value), expected, "{name}: {value}");
    }
    let page = console.get("/", &[("Sec-Fetch-Site", "cross-site")]);
    assert_eq!(page.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_headers_that_protect_the_page() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    let answers = [
        console.get("/", &[]),
        console.get("/nothing", &[]),
        console.get("/api/about", &[]),
        console.get("/", &[("Origin", "http://evil.example")]),
        console.with_token("/api/about"),
        console.with_token("/api/state/shared"),
        console
            .raw(b"GET / HTTP/1.1\r\nHost: evil\r\n\r\n")
            .unwrap(),
    ];
    for answer in answers {
        let policy = answer.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ] {
            assert!(policy.split("; ").any(|it| it == part), "{part}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
        let cached = answer.header("cache-control").unwrap();
        assert!(["no-cache", "no-store"].contains(&cached), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("set-cookie"), None);
    }
    let data = console.with_token("/api/about");
    assert_eq!(data.header("cache-control"), Some("no-store"));
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_leave_the_page_are_not_found() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    for path in [
        "/../Cargo.toml",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/page/../../console.rs",
        "//etc/passwd",
        "/index.html%00.js",
        "/%00",
        "/.env",
        "/api",
    ] {
        assert_eq!(console.get(path, &[]).status, 404, "{path}");
    }
    for path in ["/\0", "/a b", "\\"] {
        let status = console.get(path, &[]).status;
        assert!([400, 404].contains(&status), "{path:?}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_and_bodies_are_refused() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    let bearer = console.bearer();
    for method in [
        "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT",
    ] {
        let path = if method == "CONNECT" {
            &*console.address.to_string()
        } else {
            "/api/state"
        };
        let head = console.head(method, path, &[("Authorization", &bearer)]);
        let answer = console.raw(head.as_bytes()).unwrap();
        assert!(
            [400, 405, 421].contains(&answer.status),
            "{method}: {answer:?}"
        );
    }
    let began = Instant::now();
    let length = [("Authorization", &*bearer), ("Content-Length", "104857600")];
    let mut request = console.head("GET", "/api/about", &length).into_bytes();
    request.resize(request.len() + 1_000_000, b'x');
    // The answer may be lost when the connection is closed before the body is read.
    if let Some(answer) = console.raw(&request) {
        assert_eq!(answer.status, 413);
        assert_eq!(answer.header("connection"), Some("close"));
    }
    let chunked = [
        ("Authorization", &*bearer),
        ("Transfer-Encoding", "chunked"),
    ];
    let answer = console.get("/api/about", &chunked);
    assert_eq!(answer.status, 413);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(console.with_token("/api/about").status, 200);
}

/// Headers about which two servers may not agree where the request ends.
const SMUGGLED: [&str; 24] = [
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length: 5\r\nContent-Length: 5\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: -1\r\n",
    "Content-Length: 0x5\r\n",
    "Content-Length: 5 \r\n 6\r\n",
    "Content-Length : 5\r\n",
    "Content-Length: 99999999999999999999999\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: identity, chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding:\x0bchunked\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
    " Transfer-Encoding: chunked\r\n",
    "X: a\r\n\tb\r\nContent-Length: 5\r\n",
    "X: a\rContent-Length: 5\r\n",
    "X: a\nContent-Length: 5\nTransfer-Encoding: chunked\r\n",
];

/// Bodies in chunks that are not quite right, or have more than data.
const CHUNKS: [&str; 8] = [
    "5;a=b\r\nhello\r\n0\r\n\r\n",
    "0\r\nHost: evil.example\r\n\r\n",
    "0\n\n",
    "0x0\r\n\r\n",
    "-1\r\n\r\n",
    "FFFFFFFFFFFFFFFF1\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "0 \r\n\r\n",
];

/// Sends bytes, and returns all that is answered until the console closes the connection.
fn all_answers(console: &Console, request: &str) -> String {
    let mut connection = console.connect();
    let _ = connection.write_all(request.as_bytes());
    let mut all = Vec::new();
    // It may be closed with an error, as not everything was read.
    let _ = connection.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn smuggled_requests_are_not_answered() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &["--allow-write"]);
    let (host, bearer) = (console.address, console.bearer());
    // After it the connection is closed, so that the end of the answers is seen.
    let second = format!(
        "GET /api/about HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Authorization: {bearer}\r\n\r\n"
    );
    for headers in SMUGGLED {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n0\r\n\r\n{second}");
        let all = all_answers(&console, &request);
        let answers = all.matches("HTTP/1.1 ").count();
        assert!(answers <= 1, "{headers:?}: {all}");
        assert!(!all.contains("\"namespace\""), "{headers:?}: {all}");
    }
    // A request with a body may be followed by another one: what follows is never within the body.
    let head = console.head(
        "POST",
        "/api/state/counter",
        &[
            ("Authorization", &bearer),
            ("Content-Type", "application/json"),
            ("Transfer-Encoding", "chunked"),
        ],
    );
    let mut refused = 0;
    for chunks in CHUNKS {
        let all = all_answers(&console, &format!("{head}{chunks}{second}"));
        let answers = all.matches("HTTP/1.1 ").count();
        let firsts = all.matches("HTTP/1.1 400").count() + all.matches("HTTP/1.1 413").count();
        assert!(answers <= 2 && firsts <= 1, "{chunks:?}: {all}");
        assert!(answers < 2 || firsts == 1, "{chunks:?}: {all}");
        refused += firsts;
    }
    assert!(refused > 0, "the console answers nothing");
    assert_eq!(console.with_token("/api/about").status, 200);
}

/// The longest that a slow request may last, with room for a busy machine.
const SLOW: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "waits for slow requests: `cargo xtask test --long`"]
async fn two_hundred_slow_connections_end_and_leave_room() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &["--allow-write"]);
    let bearer = console.bearer();
    let body = console.head(
        "POST",
        "/api/state/counter",
        &[
            ("Authorization", &bearer),
            ("Content-Type", "application/json"),
            ("Content-Length", "1000000"),
        ],
    );
    let began = Instant::now();
    let mut slow: Vec<_> = (0..200).map(|_| console.connect()).collect();
    for (number, connection) in slow.iter_mut().enumerate() {
        let begin = if number % 2 == 0 {
            "GET / HTTP/1.1\r\nX: "
        } else {
            &*body
        };
        let _ = connection.write_all(begin.as_bytes());
        connection.set_nonblocking(true).unwrap();
    }
    // A byte now and then keeps none of them open.
    let mut open = slow;
    while !open.is_empty() {
        assert!(began.elapsed() < SLOW, "{} are open", open.len());
        open.retain_mut(|connection| {
            let _ = connection.write_all(b"x");
            matches!(connection.read(&mut [0; 512]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(console.with_token("/api/about").status, 200);
    assert!(memory(&console) < 64 << 20);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "waits for peers that do not read: `cargo xtask test --long`"]
async fn peers_that_do_not_read_are_disconnected_and_leave_room() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    let request = console.head("GET", "/console.css", &[]).repeat(1_000);
    let silent: Vec<_> = (0..64).map(|_| console.connect()).collect();
    for mut connection in &silent {
        connection.set_nonblocking(true).unwrap();
        let _ = connection.write_all(request.as_bytes());
    }
    let page = console.head("GET", "/", &[]);
    let answer = || console.raw(page.as_bytes());
    assert!(answer().is_none(), "there was room");
    let began = Instant::now();
    while answer().is_none() {
        assert!(began.elapsed() < 2 * SLOW);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    drop(silent);
}

/// Returns the resident memory of the console, in bytes.
fn memory(console: &Console) -> usize {
    let path = format!("/proc/{}/status", console.running.id());
    let status = std::fs::read_to_string(path).unwrap();
    let mut lines = status.lines();
    let kilobytes = lines.find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes = kilobytes.trim().trim_end_matches(" kB");
    kilobytes.parse::<usize>().unwrap() * 1_024
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "sends 100 MB: `cargo xtask test --long`"]
async fn a_body_of_100_mb_is_not_read() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &["--allow-write"]);
    let bearer = console.bearer();
    let before = memory(&console);
    for length in [
        ("Content-Length", "104857600"),
        ("Transfer-Encoding", "chunked"),
    ] {
        let mut request = console
            .head(
                "POST",
                "/api/state/shared",
                &[
                    ("Authorization", &bearer),
                    ("Content-Type", "application/json"),
                    length,
                ],
            )
            .into_bytes();
        if length.0 == "Transfer-Encoding" {
            request.extend_from_slice(b"6400000\r\n");
        }
        request.resize(request.len() + 104_857_600, b'x');
        let began = Instant::now();
        // The answer may be lost when the connection is closed before the body is read.
        let answer = console.raw(&request);
        assert!(answer.is_none_or(|answer| answer.status == 413));
        assert!(began.elapsed() < SLOW);
    }
    assert!(memory(&console) < before + (16 << 20));
    assert_eq!(console.with_token("/api/about").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "opens 1,000 streams: `cargo xtask test --long`"]
async fn of_a_thousand_streams_sixteen_are_open_and_the_memory_is_bounded() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let console = Console::start(&fleet, &[]);
    let open: Vec<_> = (0..16).map(|_| console.stream("events=true")).collect();
    for number in 0..984 {
        let refused = console.try_stream("events=true");
        assert!(
            refused.is_err_and(|answer| answer.status == 429),
            "{number}"
        );
    }
    // Nobody reads: what waits for each is bounded.
    let payload = "x".repeat(30_000);
    for _ in 0..2_000 {
        bus.send_to_all("tick", &payload).await.unwrap();
    }
    assert!(memory(&console) < 128 << 20, "{}", memory(&console));
    drop(open);
    eventually("there is room again", || console.try_stream("").is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_counted_and_the_right_one_is_not_locked_out() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    let wrong = format!("Bearer {}", "0".repeat(64));
    let status = || {
        let answer = console.get("/api/about", &[("Authorization", &wrong)]);
        answer.status
    };
    for _ in 0..10 {
        assert_eq!(status(), 401);
    }
    assert_eq!(status(), 429);
    assert_eq!(console.get("/api/about", &[]).status, 429);
    assert_eq!(console.with_token("/api/about").status, 200);
    let printed = [console.running.stderr.all(), console.running.stdout.all()];
    assert_eq!(
        printed.concat().join("\n").matches(&console.token).count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_connections_are_limited() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    let mut streams: Vec<_> = (0..16).map(|_| console.stream("")).collect();
    let Err(answer) = console.try_stream("") else {
        panic!("a stream too many")
    };
    assert_eq!(answer.status, 429);
    assert!(answer.body.contains("too many streams"), "{answer:?}");
    streams.truncate(15);
    eventually("the room is free again", || console.try_stream("").is_ok());

    let many: Vec<_> = (0..200).map(|_| console.connect()).collect();
    // Those above the limit are closed.
    eventually("the others are closed", || {
        let is_closed = |mut connection: &std::net::TcpStream| {
            connection.set_nonblocking(true).unwrap();
            !matches!(connection.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        };
        many.iter().filter(|it| is_closed(it)).count() >= 200 - 64
    });
    streams[0].find("look", |_| true);
    drop(many);
    eventually("others can connect again", || {
        let head = console.head("GET", "/", &[]);
        console
            .raw(head.as_bytes())
            .is_some_and(|answer| answer.status == 200)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn long_and_slow_requests_are_ended() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    let began = Instant::now();
    let mut slow = console.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();

    let long = "x".repeat(64 * 1024);
    let answer = console.raw(console.head("GET", "/", &[("X", &long)]).as_bytes());
    assert!(answer.is_none_or(|answer| answer.status == 431));
    let many: Vec<_> = (0..200).map(|_| ("X", "y")).collect();
    let answer = console.raw(console.head("GET", "/", &many).as_bytes());
    assert!(answer.is_none_or(|answer| answer.status == 431));

    // Each byte in time does not make the whole in time.
    slow.set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let is_open = |slow: &mut std::net::TcpStream| {
        let _ = slow.write_all(b"x");
        matches!(slow.read(&mut [0; 512]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    };
    while is_open(&mut slow) {
        assert!(began.elapsed() < Duration::from_secs(15));
    }
    assert!(began.elapsed() > Duration::from_secs(9));
}
