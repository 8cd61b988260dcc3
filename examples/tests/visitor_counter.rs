//! The visitor counter, as its visitors see it: each number once, whichever process answers.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tidings_testkit::Redis;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const WORKERS: usize = 4;
const SOON: Duration = Duration::from_secs(30);

/// The program, with what it prints.
struct Program {
    at: SocketAddr,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Program {
    /// Starts it, and waits until all of its workers are ready.
    async fn start(redis: &Redis) -> Self {
        let mut child = Command::new(path())
            .args(["--port", "0", "--workers", &WORKERS.to_string()])
            .env("TIDINGS_URL", redis.url())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut at, mut ready) = (None, 0);
        while at.is_none() || ready < WORKERS {
            let line = next(&mut lines).await;
            at = at.or(line
                .split_once("http://")
                .map(|(_, at)| at.parse().unwrap()));
            ready += usize::from(line.ends_with("is ready"));
        }
        Self {
            at: at.unwrap(),
            lines,
            _child: child,
        }
    }

    /// Kills one of the workers, and waits until another one has taken its place.
    async fn kill(&mut self, worker: u64) {
        let pid = worker.to_string();
        let killed = Command::new("kill").args(["-KILL", &pid]).status();
        assert!(killed.await.unwrap().success());
        while !next(&mut self.lines).await.ends_with("is ready") {}
    }

    /// So many visitors at once; the numbers and the processes that they saw.
    async fn visit(&self, visitors: usize) -> (Vec<u64>, BTreeSet<u64>) {
        let at = self.at;
        let visits: Vec<_> = (0..visitors)
            .map(|_| tokio::spawn(timeout(SOON, ask(at))))
            .collect();
        let (mut numbers, mut workers) = (Vec::new(), BTreeSet::new());
        for visit in visits {
            let answer = visit.await.unwrap().unwrap();
            numbers.push(answer["counter"].as_u64().unwrap());
            workers.insert(answer["pid"].as_u64().unwrap());
        }
        (numbers, workers)
    }
}

/// Where cargo put it: beside the directory of this test.
fn path() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    profile.join("examples").join("visitor-counter")
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = timeout(SOON, lines.next_line()).await;
    line.unwrap().unwrap().unwrap()
}

async fn ask(at: SocketAddr) -> Value {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_visitors_see_each_number_once_although_a_worker_is_killed_in_between() {
    let redis = Redis::start().await;
    let mut program = Program::start(&redis).await;

    let (mut numbers, before) = program.visit(500).await;
    program.kill(*before.first().unwrap()).await;
    let (more, after) = program.visit(500).await;

    numbers.extend(more);
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=1000));
    assert!(before.len() > 1 && after.len() > 1, "{before:?} {after:?}");
    assert!(!after.contains(before.first().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_learns_that_the_number_is_not_known() {
    let redis = Redis::start().await;
    let program = Program::start(&redis).await;
    redis
        .cli(&["SET", "tidings:{visitor-counter}:counter:visits", "many"])
        .await;

    let answer = ask(program.at).await;

    assert!(
        answer["error"].as_str().unwrap().contains("is no counter"),
        "{answer}"
    );
}
