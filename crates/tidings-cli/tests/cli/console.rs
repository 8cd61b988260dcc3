//! `tidings console`: its server, over plain HTTP.

mod attacks;
mod browser;
mod changes;
mod client;
mod contracts;
mod events;
mod foreign;
mod observer;
mod overview;
mod state;
mod tls;

use rustix::process::Signal;

use self::client::Console;
use crate::fleet::Fleet;
use crate::support::text;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_needs_no_token_and_the_api_does() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    let page = console.get("/", &[]);
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    for path in [
        "about",
        "look",
        "gaps",
        "servers",
        "state",
        "contracts",
        "stream",
        "nothing",
    ] {
        let path = format!("/api/{path}");
        let answer = console.get(&path, &[]);
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.json()["error"].as_str().unwrap().contains("token"));
    }
    let about = console.api("/api/about");
    assert_eq!(about["namespace"], "shop");
    assert_eq!(about["is_read_only"], true);
    assert_eq!(console.with_token("/api/nothing").status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_browser_knows_is_not_sent_again() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    let page = console.get("/", &[]);
    let tag = page.header("etag").unwrap();
    let again = console.get("/", &[("If-None-Match", tag)]);
    assert_eq!((again.status, &*again.body), (304, ""));
    let other = console.get("/", &[("If-None-Match", "\"0\"")]);
    assert_eq!((other.status, &other.body), (200, &page.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_file_that_the_page_names_is_served() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    let mut paths = vec!["/".to_owned()];
    let mut next = 0;
    while let Some(path) = paths.get(next).cloned() {
        let file = console.get(&path, &[]);
        assert_eq!(file.status, 200, "{path}");
        for word in file.body.split(['"', '\'']) {
            let is_file = [".js", ".css", ".svg"]
                .iter()
                .any(|end| word.ends_with(end));
            let path = format!("/{}", word.trim_start_matches(['.', '/']));
            if is_file && word.len() > 4 && !word.contains(' ') && !paths.contains(&path) {
                paths.push(path);
            }
        }
        next += 1;
    }
    assert!(paths.len() > 3, "{paths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_it_with_exit_code_0() {
    let fleet = Fleet::start().await;
    let mut console = Console::start(&fleet, &[]);
    let _stream = console.stream("");
    console.running.signal(Signal::INT);
    assert_eq!(console.running.code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_other_machines_reach_is_rejected() {
    let fleet = Fleet::start().await;
    for address in ["0.0.0.0:0", "[::]:0", "10.0.0.7:8425"] {
        let (stderr, code) = fleet.fail(&["console", "--listen", address]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("error: cannot listen at"), "{stderr}");
        assert!(stderr.contains("add --tls-cert and --tls-key"), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_and_a_redis_that_is_away_are_errors() {
    let mut fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    let address = console.address.to_string();
    let (stderr, code) = fleet.fail(&["console", "--listen", &address]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains(&address), "{stderr}");
    fleet.redis.kill();
    let output = fleet.tidings(&["console", "--listen", "127.0.0.1:0", "--timeout", "200ms"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: cannot reach redis://"), "{stderr}");
    assert!(output.stdout.is_empty());
}
